import EPJSON
import Testing

@Suite struct WriterTests {
  @Test(
    arguments: [
      (1.0, "1.0"), (0.1, "0.1"), (-0.0, "-0.0"), (1e16, "1e+16"),
      (.leastNonzeroMagnitude, "5e-324"),
      (1.0 / 3, "0.3333333333333333"), (100, "100.0"),
      (.greatestFiniteMagnitude, "1.7976931348623157e+308"),
    ] as [(Double, String)])
  func doublesAreShortest(number: Double, text: String) throws {
    #expect(try compact(.double(number)) == text)
    #expect(try parse(text) == .double(number))
  }

  @Test func compactHasNoWhiteSpace() throws {
    let value: JSONValue = ["b": [1, 2.5, nil, true, "a/\"\\\n\u{1}é"], "a": [:], "c": []]
    #expect(try compact(value) == #"{"b":[1,2.5,null,true,"a/\"\\\n\u0001é"],"a":{},"c":[]}"#)
  }

  @Test func prettyKeepsShortPartsOnOneLine() throws {
    let row: JSONValue = .array((0..<120).map { .int($0) })
    let value: JSONValue = [
      "version": [1, 0], "mesh": ["ep": 8, "tp": 1], "row": row,
      "ops": [["name": "a2a.dispatch"], .string(String(repeating: "x", count: 90)), [:]],
    ]
    let rows = [(0, 26), (27, 51), (52, 76), (77, 100), (101, 119)].map { first, last in
      (first...last).map(String.init).joined(separator: ", ")
    }.joined(separator: ",\n    ")
    #expect(
      try pretty(value) == """
        {
          "version": [1, 0],
          "mesh": {"ep": 8, "tp": 1},
          "row": [
            \(rows)
          ],
          "ops": [
            {"name": "a2a.dispatch"},
            "\(String(repeating: "x", count: 90))",
            {}
          ]
        }

        """)
    #expect(try pretty([]) == "[]\n")
  }

  @Test func oneLineHoldsHundredBytes() throws {
    #expect(
      try pretty([.string(String(repeating: "x", count: 96))]).filter { $0 == "\n" }.count == 1)
    #expect(
      try pretty([.string(String(repeating: "x", count: 97))]).filter { $0 == "\n" }.count == 3)
  }

  @Test(arguments: JSONValue.Style.allCases)
  func whatCannotBeReadIsNotWritten(style: JSONValue.Style) {
    for (value, text) in [
      (["a": [1.5, .double(.infinity)]], "$.a[1]: inf cannot be written"),
      ([.double(.nan)], "$[0]: nan cannot be written"),
      (["a": ["x\0": 1]], "$.a[\"x\\u0000\"]: U+0000 is not supported in a key"),
    ] as [(JSONValue, String)] {
      let error = error { () throws(JSONError) in _ = try value.serialized(style: style) }
      #expect(error.description == text)
    }
  }

  @Test(arguments: JSONValue.Style.allCases)
  func deepestIsWrittenAndReadBack(style: JSONValue.Style) throws {
    var value: JSONValue = []
    for _ in 1..<JSONLimits.deepest { value = [value] }
    let bytes = try value.serialized(style: style)
    #expect(
      try JSONValue.parse(bytes: bytes, limits: JSONLimits(maxDepth: JSONLimits.deepest)) == value)
    #expect(throws: JSONError.self) { try JSONValue.array([value]).serialized(style: style) }
  }

  @Test func objectsKeepOrderAndUniqueness() throws {
    var object = JSONObject()
    for number in 0..<50 { object["k\(number % 25)"] = .int(number) }
    #expect(object.count == 25 && object["k3"] == 28 && object.keys.first == "k0")
    for number in 0..<20 { object["k\(number)"] = nil }
    #expect(object.keys == ["k20", "k21", "k22", "k23", "k24"] && object["k24"] == 49)
    object["k20"] = 0
    object["new"] = 1
    #expect(
      try compact(.object(object)) == #"{"k20":0,"k21":46,"k22":47,"k23":48,"k24":49,"new":1}"#)
    var other = JSONObject()
    for member in object.members { other[member.key] = member.value }
    #expect(object == other && object.hashValue == other.hashValue)
  }
}
