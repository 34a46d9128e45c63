import EPPlacement
import Testing

@Suite struct LoadTests {
  private func csv(_ text: String) throws(PlacementError) -> ExpertLoads {
    try ExpertLoads(csv: Array(text.utf8), source: "loads.csv")
  }

  private func json(_ text: String) throws(PlacementError) -> ExpertLoads {
    try ExpertLoads(json: Array(text.utf8), source: "loads.json")
  }

  @Test func linesAreLayersAndFieldsAreExperts() throws {
    let loads = try csv("# tokens\n1, 2.5,3e2\r\n\n4,5,6")
    #expect(loads.rows == [[1, 2.5, 300], [4, 5, 6]])
    #expect(loads.layers == [0, 1])
    #expect(loads.sum == [5, 7.5, 306])
  }

  @Test func errorsNameLineAndColumn() {
    let cases: [(String, String)] = [
      ("1,2\n3,x", "loads.csv:2:3: 'x' is no number of tokens: not negative, at most 1e15"),
      ("1,,2", "loads.csv:1:3: a number of tokens is missing"),
      ("1,-2", "loads.csv:1:3: '-2' is no number of tokens: not negative, at most 1e15"),
      ("1,nan", "loads.csv:1:3: 'nan' is no number of tokens: not negative, at most 1e15"),
      ("\n1,2\n3", "loads.csv:3:1: 1 experts, the first layer has 2"),
      ("", "loads.csv:1:1: there are no loads"),
    ]
    for (text, message) in cases {
      do {
        _ = try csv(text)
        Issue.record("no error for \(text)")
      } catch { #expect(error.description == message) }
    }
  }

  @Test func threeFormsOfJSONAreRead() throws {
    #expect(try json("[[1,2],[3,4]]").rows == [[1, 2], [3, 4]])
    let named = try json(#"{"layers": [3, 5], "loads": [[1,2],[3,4]]}"#)
    #expect(named.layers == [3, 5])
    let recorded = try json(#"{"logical_count": [[[1,2],[3,4]], [[1,1],[1,1]]]}"#)
    #expect(recorded.rows == [[2, 3], [4, 5]])
    for text in ["{", "[]", "[[]]", "[[1],[2,3]]", "[[-1]]", #"{"loads": [["a"]]}"#, "1"] {
      #expect(throws: PlacementError.self) { try json(text) }
    }
  }

  @Test func distributionsAddUpAndDependOnTheSeed() throws {
    for name in ["uniform", "zipf:1.2", "lognormal:0.5"] {
      let distribution = try LoadDistribution(parsing: name)
      let one = try distribution.loads(layers: 3, experts: 16, tokens: 1000, seed: 1)
      #expect(one.rows.allSatisfy { abs($0.reduce(0, +) - 1000) < 1e-6 })
      #expect(try one == distribution.loads(layers: 3, experts: 16, tokens: 1000, seed: 1))
      if name != "uniform" {
        #expect(try one != distribution.loads(layers: 3, experts: 16, tokens: 1000, seed: 2))
      }
    }
    for name in ["", "zipf", "zipf:x", "pareto:1", "lognormal:-1", "uniform:1"] {
      #expect(throws: PlacementError.distribution(name)) { try LoadDistribution(parsing: name) }
    }
  }

  @Test func tracesCountRouting() throws {
    let trace = try LoadTrace(routing: [[[0, 1, 1]], [[2, 2, 0]]], experts: 3)
    #expect(trace.windows.map(\.rows) == [[[1, 2, 0]], [[1, 0, 2]]])
    #expect(try trace.total().rows == [[2, 2, 2]])
    #expect(throws: PlacementError.self) { try LoadTrace(routing: [[[3]]], experts: 3) }
    let text = #"{"windows": [[[1,2]], [[3,4]]]}"#
    #expect(try LoadTrace(json: Array(text.utf8), source: "t").windows.count == 2)
  }

  @Test func sourcesAreDistributionsWithASeedOrFiles() throws {
    let source = try LoadSource(parsing: "zipf:1.0@7")
    #expect(source == .drawn(.zipf(exponent: 1), seed: 7))
    #expect(try LoadSource(parsing: "uniform") == .drawn(.uniform, seed: 1))
    let loads = try source.loads(layers: [3, 4], of: 61, experts: 8)
    #expect(loads.layers == [3, 4] && loads.experts == 8)
    let other = try LoadSource(parsing: "zipf:1.0@8").loads(layers: [3, 4], of: 61, experts: 8)
    #expect(loads != other)
    for text in ["zipf:1.0@", "zipf:1.0@x", "zipf@1", "uniform:2"] {
      #expect(throws: PlacementError.self) { try LoadSource(parsing: text) }
    }
    do {
      _ = try LoadSource(parsing: "no-such.csv")
      Issue.record("a file that is not there was read")
    } catch { #expect(error.description.contains("no-such.csv")) }
  }

  @Test func rowsFindTheirLayers() throws {
    let three = try ExpertLoads(rows: [[1], [2], [3]])
    // As many rows as layers with experts: in order, whatever the file calls them.
    #expect(try three.matched(to: [2, 5, 6], of: 7).layers == [2, 5, 6])
    // A row for every layer of the model, dense ones too.
    #expect(try three.matched(to: [1, 2], of: 3).rows == [[2], [3]])
    // More layers than are asked for, by their numbers.
    let named = try ExpertLoads(rows: [[1], [2], [3]], layers: [4, 6, 9])
    #expect(try named.matched(to: [6, 9], of: 20).rows == [[2], [3]])
    #expect(throws: PlacementError.self) { try named.matched(to: [5, 9], of: 20) }
    #expect(throws: PlacementError.self) { try three.matched(to: [0, 1, 2, 3], of: 9) }
    #expect(named.row(ofLayer: 6) == [2] && named.row(ofLayer: 5) == nil)
  }
}
