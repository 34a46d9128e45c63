import EPJSON
import Testing

@Suite struct RejectTests {
  @Test(arguments: [
    // Not one value.
    "", " ", "\n", "1 2", "{}{}", "[]x", "null,", "[] []", "nul", "True", "nullx", "tru e",
    // Lenient literals and numbers.
    "NaN", "nan", "Infinity", "-Infinity", "inf", "[-NaN]", "undefined", "-", "+1", "--1", "01",
    "-01", "00", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1E-", "0x10", "1_000", "1,5", "1e5.0",
    "٣", "1a", "-a", "0.1.2", "12 3",
    // Arrays and objects.
    "[", "]", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1 2]", "[1,,2]", "[1}", "{", "}", "{]", "{1:2}",
    "{a:1}", "{'a':1}", "{\"a\"}", "{\"a\":}", "{\"a\" 1}", "{\"a\":1,}", "{,}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,,\"b\":2}", "{\"a\"::1}", "{\"a\":1", "{\"a\"", "{\"a\":", "{null:1}", "[\"a\":1]",
    // Comments.
    "/* c */1", "1//c", "[1/**/]", "#c\n1", "{/**/}",
    // Strings.
    "\"", "\"a", "'a'", "\"\\\"", "\"\\", "\"\\a\"", "\"\\x41\"", "\"\\'\"", "\"\\u\"", "\"\\u12\"",
    "\"\\u123g\"", "\"\\u 123\"", "\"\\U0041\"", "\"\\u-123\"", "\"\\\n\"", "\"\\\u{e9}\"",
    "\"\n\"", "\"\t\"", "\"\u{1}\"", "\"\u{1F}\"", "\"a\0b\"", "{\"a\n\":1}",
    // Surrogates.
    "\"\\uD800\"", "\"\\uDC00\"", "\"\\uD800\\uD800\"", "\"\\uD800x\"", "\"\\uD800\\n\"",
    "\"\\uD800\\u0041\"", "\"\\uDBFF\\uE000\"", "\"\\uD83D\\\"", "\"\\ud800", "\"\\ud800\\u",
    // White space that is none, byte order mark, NUL.
    "\u{A0}1", "\u{B}1", "\u{C}1", "\u{2028}1", "\u{FEFF}1", "\u{FEFF}", "1\0", "\0", "[1\0]",
    "[]\0",
    // Keys that json-c would cut.
    #"{"a\u0000b":1}"#, #"{"\u0000":1}"#,
  ])
  func nonsenseIsRejected(text: String) {
    let error = rejection(of: text)
    #expect(error.line != nil && error.column != nil)
    #expect(!error.message.contains("json-c"), "the lexer must be the one to refuse \(text)")
  }

  @Test(
    arguments: [
      [0x80], [0xFF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x22], [0xE0, 0x80, 0x80],
      [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xE2, 0x82],
      [0xF0, 0x80, 0x80, 0x80],
      [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80],
      [0xF1, 0x80, 0x80],
      [0xFE], [0xE2, 0x28, 0xA1], [0xF8, 0x88, 0x80, 0x80, 0x80],
    ] as [[UInt8]])
  func invalidUTF8IsRejected(bytes: [UInt8]) {
    #expect(rejection(of: [0x22] + bytes + [0x22]).message == "invalid UTF-8")
    #expect(rejection(of: [0x22] + bytes).line == 1)
    #expect(rejection(of: [0x7B, 0x22] + bytes + Array("\":1}".utf8)).message == "invalid UTF-8")
    #expect(rejection(of: bytes).column == 1)
  }

  @Test(arguments: [
    ("{\"a\":1,\"a\":2}", "$.a", 8), ("{\"a\":1,\"\\u0061\":2}", "$.a", 8),
    ("[0,{\"b\":[1,{\"c\":0,\"d\":{},\"c\":{\"x\":0}}]}]", "$[1].b[1].c", 26),
    ("{\"a\":{\"k\":1,\"k\":1},\"a\":2}", "$.a", 20), ("{\"\":1,\"\":1}", "$[\"\"]", 7),
    ("{\"\u{e9}\":1,\"\\u00e9\":1}", "$[\"\u{e9}\"]", 8),
    ("{\"\u{e9}\":1,\"e\u{301}\":1}", "$[\"e\u{301}\"]", 8),
    ("{\"o\":{\"x\":{},\"y\":[{}],\"x\":1},\"p\":{}}", "$.o.x", 23),
  ])
  func duplicateKeysAreRejected(text: String, path: String, column: Int) {
    let error = rejection(of: text)
    #expect(error == JSONError(path: path, message: "duplicate key", line: 1, column: column))
  }

  @Test(arguments: [
    ("9223372036854775808", "an integer outside"), ("-9223372036854775809", "an integer outside"),
    ("18446744073709551615", "an integer outside"), ("1e309", "a number too large"),
    ("-1e309", "a number too large"), ("1.8e308", "a number too large"),
    ("1e99999999999", "a number too large"),
    (String(repeating: "9", count: 230) + "e99", "a number too large"),
    (String(repeating: "9", count: 400) + ".0", "a number too large"),
    (String(repeating: "9", count: 400), "an integer outside"),
    ("0." + String(repeating: "1", count: 5000), "a number longer than 1024"),
    (String(repeating: "1", count: 1_000_000), "a number longer than 1024"),
  ])
  func hugeNumbersAreRejected(text: String, message: String) {
    let error = rejection(of: "{\"a\":{\"b\":[0,1,2,\(text)]}}")
    #expect(error.path == "$.a.b[3]")
    #expect(error.message.hasPrefix(message))
    #expect(error.line == 1 && error.column == 18)
  }

  @Test func depthBombsAreRejected() {
    for unit in ["[", "{\"a\":", "[{\"a\":"] {
      let error = rejection(of: String(repeating: unit, count: 100_000))
      #expect(error.message == "nested deeper than 128 levels")
    }
    let limits = JSONLimits(maxDepth: 1_000_000)
    #expect(limits.maxDepth == JSONLimits.deepest)
    let bomb = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
    #expect(rejection(of: bomb, limits: limits).message == "nested deeper than 512 levels")
  }

  @Test func longTextIsRejected() {
    let error = rejection(of: Array("[1,2,3]".utf8), limits: JSONLimits(maxBytes: 6))
    #expect(error.description == "$: the text is longer than 6 bytes")
  }

  @Test func everyPrefixIsRejected() throws {
    let text = Array(#"{"a\n":[1.5e3,-2,{"é":"\uD834\uDD1E€"},true,false,null],"b":{}}"#.utf8)
    _ = try JSONValue.parse(bytes: text)
    for count in text.indices {
      let message = rejection(of: Array(text[..<count])).message
      #expect(!message.contains("json-c"))
    }
  }
}
