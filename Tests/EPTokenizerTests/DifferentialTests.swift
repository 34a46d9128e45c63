import EPJSON
import Glibc
import Testing

@testable import EPTokenizer

/// The folder of the fixtures, or another one that `EPC_TOKENIZER_FIXTURES` names.
private let fixtures: String = {
  if let folder = unsafe getenv("EPC_TOKENIZER_FIXTURES") { return unsafe String(cString: folder) }
  return #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    .joined(separator: "/") + "/Fixtures"
}()

@Suite struct DifferentialTests {
  @Test(arguments: ["gpt2", "llama3", "qwen2", "deepseek", "o200k", "mixtral", "metaspace"])
  func textIsTokenizedAsByTheReferenceImplementation(_ name: String) throws {
    let tokenizer = try Tokenizer(file: "\(fixtures)/\(name).json")
    let document = try JSONValue.parse(bytes: JSONFile.read("\(fixtures)/\(name).cases.json"))
    let cases = try JSONNode(document).array()
    #expect(cases.count > 50)
    for example in cases {
      let text = try example["text"].string()
      let ids = try example["ids"].array().map { try $0.int() }
      let shown = "\(name): \(text.unicodeScalars.map { String($0.value, radix: 16) })"
      let letters = Array(text.unicodeScalars)
      // An empty text has no pieces: encoding does not ask for them.
      let pieces = letters.isEmpty ? [] : tokenizer.pieces(of: letters, isStart: true)
      #expect(
        pieces
          == (try example["pieces"].array().map { Array(try $0.string().unicodeScalars) }),
        "\(shown)")
      #expect(tokenizer.encode(text) == ids, "\(shown)")
      let plain = try example["plain"].array().map { try $0.int() }
      #expect(tokenizer.encode(text, addingSpecialTokens: false) == plain, "\(shown)")
      #expect(
        Array(try tokenizer.decode(ids).utf8) == Array(try example["decoded"].string().utf8),
        "\(shown)")
      #expect(
        Array(try tokenizer.decode(ids, skippingSpecialTokens: false).utf8)
          == Array(try example["whole"].string().utf8), "\(shown)")
    }
  }

  @Test func tokensHaveIdsAndIdsHaveTokens() throws {
    let tokenizer = try Tokenizer(file: "\(fixtures)/llama3.json")
    let end = try #require(tokenizer.id(of: "<|end|>"))
    #expect(try tokenizer.decode([end], skippingSpecialTokens: false) == "<|end|>")
    #expect(try tokenizer.decode([end]) == "")
    #expect(tokenizer.id(of: "no such token") == nil)
    #expect(tokenizer.vocabularySize > end)
    #expect(throws: TokenizerError.unknownID(-1)) { try tokenizer.decode([-1]) }
    #expect(throws: TokenizerError.unknownID(100_000)) { try tokenizer.decode([100_000]) }
  }
}
