import EPJSON
import Testing

@Suite struct ErrorTests {
  @Test(arguments: [
    ("", "1:1: $: expected a value, found the end of the text"),
    (
      "{\n  \"pools\": [\n    {\"mesh\": {\"ep\": 01}}\n  ]\n}",
      "3:21: $.pools[0].mesh.ep: a number must not begin with 0"
    ),
    ("[1,\n2,\r\n nul]", "3:2: $[2]: expected a value, found 'n'"),
    ("{\"a\":\"€\u{1}\"}", "1:8: $.a: a control character in a string must be escaped"),
    ("{\"a\":[[],{}],\"b\":", "1:18: $.b: expected a value, found the end of the text"),
    ("{\"a\":1 \"b\":2}", "1:8: $.a: expected ',' or '}', found '\"'"),
    ("{\"a\":1,b:2}", "1:8: $: expected a key in double quotes, found 'b'"),
    ("{\"]\\\"}\":[0,\"[{\",x]}", "1:17: $[\"]\\\"}\"][2]: expected a value, found 'x'"),
    ("{\"x\\ty\":\"a", "1:9: $[\"x\\u0009y\"]: the string has no end"),
    ("[1]\u{1}", "1:4: $: expected the end of the document, found byte 0x1"),
  ])
  func textErrorsSayWhere(text: String, description: String) {
    #expect(rejection(of: text).description == description)
  }

  @Test func nodeErrorsNameThePath() throws {
    let text = #"{"pools":[{"mesh":{"ep":0,"tp":1.5,"name":"abcdef"},"on":true,"z":null}]}"#
    let root = JSONNode(try parse(text))
    let pool = try #require(try root["pools"].array().first)
    func expect(_ text: String, _ body: () throws(JSONError) -> Void) {
      #expect(error(of: body).description == text)
    }
    expect("$.pools[0].mesh.ep: expected an integer in 1...8, found 0") { () throws(JSONError) in
      _ = try pool["mesh"]["ep"].int(in: 1...8)
    }
    expect("$.pools[0].mesh.tp: expected an integer, found a number") { () throws(JSONError) in
      _ = try pool["mesh"]["tp"].int()
    }
    expect("$.pools[0].mesh.dp: this key is required") { () throws(JSONError) in
      _ = try pool["mesh"]["dp"]
    }
    expect("$.pools[0].on: expected an object, found a boolean") { () throws(JSONError) in
      _ = try pool["on"]["x"]
    }
    expect("$.pools[0].on: expected an object, found a boolean") { () throws(JSONError) in
      _ = try pool["on"].optional("x")
    }
    expect("$.pools[0].mesh.tp: expected a number in 0.0...1.0, found 1.5") {
      () throws(JSONError) in
      _ = try pool["mesh"]["tp"].double(in: 0...1)
    }
    expect("$.pools[0].mesh.name: expected at most 5 bytes of text, found 6") {
      () throws(JSONError) in
      _ = try pool["mesh"]["name"].string(maxLength: 5)
    }
    expect("$.name: expected a name without control characters") { () throws(JSONError) in
      _ = try JSONNode(["name": "a\nb"])["name"].name(maxLength: 5)
    }
    expect("$.pools: expected at most 0 elements, found 1") { () throws(JSONError) in
      _ = try root["pools"].array(maxCount: 0)
    }
    let row = JSONNode(["row": [1, 2, 256, "x"]])
    expect("$.row[2]: expected an integer in 0...255, found 256") { () throws(JSONError) in
      _ = try row["row"].ints(in: 0...255)
    }
    expect("$.row[3]: expected an integer, found a string") { () throws(JSONError) in
      _ = try row["row"].ints()
    }
    expect("$.row: expected at most 3 elements, found 4") { () throws(JSONError) in
      _ = try row["row"].ints(maxCount: 3)
    }
    expect("$.pools[0].z: expected a boolean, found null") { () throws(JSONError) in
      _ = try pool["z"].bool()
    }
    expect("$.pools[0].mesh.tp: unknown key; known here: ep, name") { () throws(JSONError) in
      try pool["mesh"].requireKeys(only: ["ep", "name"])
    }
    #expect(pool.fail("bad").description == "$.pools[0]: bad")
  }

  private enum Algorithm: String, CaseIterable {
    case normal
    case lowLatency = "low-latency"
  }

  @Test func enumErrorsListTheCases() throws {
    let node = JSONNode(["a": "low-latency", "b": "fast\u{1B}[31m"])
    #expect(try node["a"].stringEnum(Algorithm.self) == .lowLatency)
    let error = error { () throws(JSONError) in _ = try node["b"].stringEnum(Algorithm.self) }
    #expect(
      error.description
        == "$.b: expected one of 'normal', 'low-latency', found 'fast\\u001b[31m'")
  }

  @Test func longKeysAreCutInPaths() {
    let key = String(repeating: "k", count: 10_000)
    let error = rejection(of: "{\"\(key)\":[01]}")
    #expect(error.path == "$[\"" + key.prefix(64) + "...\"][0]")
  }

  @Test func nodesReadWhatIsThere() throws {
    let node = JSONNode(["i": 3, "d": 2.5, "s": "x", "b": false, "n": nil, "a": [1, 2]])
    #expect(try node["i"].int() == 3 && node["i"].double() == 3 && node["d"].double() == 2.5)
    #expect(try node["s"].string() == "x" && node["b"].bool() == false && node["n"].isNull)
    #expect(try node.optional("n") == nil && node.optional("none") == nil)
    #expect(try node.optional("i")?.int() == 3)
    #expect(try node["a"].array().map { try $0.int() } == [1, 2])
    #expect(try node["a"].ints(in: 1...2, maxCount: 2) == [1, 2])
    #expect(try node.keys == ["i", "d", "s", "b", "n", "a"])
    #expect(try node.entries.map(\.node.path) == ["$.i", "$.d", "$.s", "$.b", "$.n", "$.a"])
    try node.requireKeys(only: ["a", "b", "n", "s", "d", "i", "more"])
  }
}
