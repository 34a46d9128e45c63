import EPJSON
import Testing

@testable import EPTokenizer

private func message(_ members: String) throws -> String {
  let text = #"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}\#(members)}"#
  let node = JSONNode(try JSONValue.parse(bytes: Array(text.utf8)))
  do throws(LoadFault) {
    _ = try Tokenizer(node)
    return ""
  } catch {
    return error.error(in: "t.json").description
  }
}

private func model(_ members: String) throws -> String {
  let text = #"{"model":{\#(members)}}"#
  let node = JSONNode(try JSONValue.parse(bytes: Array(text.utf8)))
  do throws(LoadFault) {
    _ = try Tokenizer(node)
    return ""
  } catch {
    return error.error(in: "t.json").description
  }
}

@Suite struct LoadTests {
  @Test func theSmallestFileIsEnough() throws {
    #expect(try message("") == "")
  }

  @Test func anUnknownPatternIsNamed() throws {
    let split =
      #","pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\s+|\\p{Lu}x"},"#
      + #""behavior":"Isolated","invert":false}"#
    #expect(
      try message(split)
        == #"'t.json' asks for a split by the unknown pattern '\p{Lu}x' at $.pre_tokenizer, "#
        + "which is not supported")
  }

  @Test(arguments: [
    (#","normalizer":{"type":"NFKC"}"#, "the normalizer 'NFKC'"),
    (#","pre_tokenizer":{"type":"Digits"}"#, "the pre-tokenizer 'Digits'"),
    (#","decoder":{"type":"WordPiece"}"#, "the decoder 'WordPiece'"),
    (#","post_processor":{"type":"Bert"}"#, "the post-processor 'Bert'"),
    (
      #","added_tokens":[{"id":3,"content":"x","special":true,"single_word":true}]"#,
      "must be a word of its own"
    ),
    (
      #","normalizer":{"type":"Prepend","prepend":"_"},"#
        + #""added_tokens":[{"id":3,"content":"x","special":false,"normalized":true}]"#,
      "that the normalizer changes"
    ),
  ])
  func whatIsNotSupportedIsNamed(_ members: String, _ expected: String) throws {
    #expect(try message(members).contains(expected))
  }

  @Test(arguments: [
    #""type":"WordPiece","vocab":{},"merges":[]"#, #""type":"BPE","merges":[]"#,
    #""vocab":{"a":-1},"merges":[]"#, #""vocab":{"a":99999999999},"merges":[]"#,
    #""vocab":{"a":0},"merges":["a b"]"#, #""vocab":{"a":0},"merges":["a"]"#,
    #""vocab":{"a":0},"merges":[["a"]]"#, #""vocab":{},"merges":[],"byte_fallback":true"#,
    #""vocab":{},"merges":[],"unk_token":"?""#, #""vocab":{},"merges":[],"dropout":0.1"#,
    #""vocab":{},"merges":[],"end_of_word_suffix":"</w>""#,
  ])
  func aWrongModelIsRefused(_ members: String) throws {
    #expect(try !model(members).isEmpty)
  }

  @Test func aMissingFileIsNamed() {
    #expect(throws: TokenizerError.self) { try Tokenizer(file: "/nonexistent/tokenizer.json") }
  }

  @Test func spellingsOfALetterAreDifferentTokens() throws {
    let vocabulary = #""vocab":{"e":0,"\u0301":1,"\u00e9":2},"merges":[]"#
    let node = JSONNode(try JSONValue.parse(bytes: Array(#"{"model":{\#(vocabulary)}}"#.utf8)))
    let tokenizer = try Tokenizer(node)
    #expect(tokenizer.encode("e\u{301}") == [0, 1])
    #expect(tokenizer.encode("\u{e9}") == [2])
  }

  @Test func aLongWordTakesNoQuadraticTime() throws {
    let node = JSONNode(
      try JSONValue.parse(
        bytes: Array(#"{"model":{"vocab":{"a":0,"aa":1,"aaaa":2},"merges":["a a","aa aa"]}}"#.utf8)
      ))
    let ids = try Tokenizer(node).encode(String(repeating: "a", count: 100_001))
    #expect(ids == [Int](repeating: 2, count: 25_000) + [0])
  }
}
