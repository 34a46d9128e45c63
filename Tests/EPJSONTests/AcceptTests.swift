import EPJSON
import Testing

@Suite struct AcceptTests {
  @Test(
    arguments: [
      ("null", JSONValue.null), (" true\n", true), ("\t\r\nfalse ", false), ("\"\"", ""),
      ("0", 0), ("-0", 0), ("-1", -1), ("7 ", 7), ("-0.0", .double(-0.0)), ("1.0", 1.0),
      ("1e2", 100.0), ("1E+2", 100.0), ("25e-1", 2.5), ("0e1", 0.0), ("0.1", 0.1),
      ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
      ("1.7976931348623157e308", .double(.greatestFiniteMagnitude)),
      ("5e-324", .double(.leastNonzeroMagnitude)),
      ("1e-400", 0.0), ("1e00000002", 100.0), ("9223372036854775808.0", 0x1p63),
      ("[]", []), ("[ ]", []), ("{}", [:]), ("{ }", [:]), ("[[[]]]", [[[]]]),
      ("[1 , 2\n,3]", [1, 2, 3]), ("{\"a\" : 1 , \"b\":{}}", ["a": 1, "b": [:]]),
      ("{\"\":null}", ["": nil]), ("[null,true]", [nil, true]),
    ] as [(String, JSONValue)])
  func grammarIsAccepted(text: String, value: JSONValue) throws {
    #expect(try parse(text) == value)
    #expect(try parse(" [\(text)]") == [value])
  }

  @Test(
    arguments: [
      (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"), (#""\u0041\u00e9""#, "A\u{e9}"),
      (#""\u20AC\u20ac""#, "€€"), (#""\uD834\uDD1E""#, "𝄞"), (#""\uDBFF\uDFFF""#, "\u{10FFFF}"),
      (#""\uFFFC\uFB01""#, "\u{FFFC}\u{FB01}"), ("\"\u{7F}\u{2028}€𝄞\"", "\u{7F}\u{2028}€𝄞"),
      (#""a\u0000b""#, "a\0b"), (#""\\u0041""#, "\\u0041"), ("\"// /* */ '\"", "// /* */ '"),
      ("\"\u{E000}\u{D7FF}\u{10000}\"", "\u{E000}\u{D7FF}\u{10000}"),
    ] as [(String, String)])
  func stringsAreDecoded(text: String, value: String) throws {
    #expect(try parse(text) == .string(value))
    #expect(try parse("{\"k\":\(text)}") == ["k": .string(value)])
  }

  @Test func negativeZeroKeepsItsSign() throws {
    guard case .double(let zero) = try parse("-0.0") else { throw JSONError(path: "", message: "") }
    #expect(zero.sign == .minus)
    #expect(try compact(.double(zero)) == "-0.0")
  }

  @Test func escapedKeysAreDecoded() throws {
    #expect(try parse(#"{"\u0061\n\"":1}"#) == ["a\n\"": 1])
  }

  @Test func keysKeepTheirOrder() throws {
    let keys = (0..<200).map { "k\(($0 * 7919) % 200)" }
    let text = "{" + keys.map { "\"\($0)\":0" }.joined(separator: ",") + "}"
    guard case .object(let object) = try parse(text) else { throw JSONError(path: "", message: "") }
    #expect(object.keys == keys)
    #expect(object["k42"] == 0 && object["k200"] == nil)
  }

  @Test func depthIsCountedExactly() throws {
    for depth in [1, 2, 32, 128, JSONLimits.deepest] {
      let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      _ = try parse(text, maxDepth: depth)
      let full = text.replacing("[]", with: "[{\"a\":1}]")
      #expect(throws: JSONError.self) { try parse(full, maxDepth: depth) }
      _ = try parse(text.replacing("[]", with: "[0.5]"), maxDepth: depth)
    }
  }

  @Test func manyEmptyObjectsAreCounted() throws {
    let text = "[" + Array(repeating: "{},{\"a\":{}}", count: 500).joined(separator: ",") + "]"
    #expect(try compact(try parse(text)) == text)
  }
}
