internal import EPJSON

extension ExpertLoads {
  /// Reads a JSON text: see `init(json:)`.
  public init(json bytes: [UInt8], source: String) throws(PlacementError) {
    do {
      self = try ExpertLoads.read(JSONNode(try JSONValue.parse(bytes: bytes)), source)
    } catch let error as JSONError {
      if let line = error.line, let column = error.column {
        throw .malformed(source: source, line: line, column: column, reason: error.message)
      }
      throw .document(source: source, reason: error.description)
    } catch let error as PlacementError {
      throw error
    } catch {
      throw .document(source: source, reason: "\(error)")
    }
  }

  /// Reads rows of numbers, or an object with `loads` and maybe `layers`, the layers' numbers, or
  /// an object with SGLang's `logical_count`, whose steps, if any, are added up.
  private static func read(_ root: JSONNode, _ source: String) throws -> ExpertLoads {
    if case .array = root.value { return try ExpertLoads(rows: try rows(of: root), firstLayer: 0) }
    if let counts = try root.optional("logical_count") {
      return try ExpertLoads(rows: try summed(counts), firstLayer: 0)
    }
    let rows = try rows(of: try root["loads"])
    if let layers = try root.optional("layers") {
      return try ExpertLoads(rows: rows, layers: try layers.ints(in: 0...100_000))
    }
    return try ExpertLoads(rows: rows, firstLayer: 0)
  }

  /// Rows of numbers.
  static func rows(of node: JSONNode) throws(JSONError) -> [[Double]] {
    var rows: [[Double]] = []
    for row in try node.array() {
      var numbers: [Double] = []
      for element in try row.array() { numbers.append(try element.double(in: 0...1e15)) }
      rows.append(numbers)
    }
    return rows
  }

  private static func summed(_ node: JSONNode) throws(JSONError) -> [[Double]] {
    let outer = try node.array()
    guard let first = outer.first, let inner = try first.array().first, case .array = inner.value
    else { return try rows(of: node) }
    var sum: [[Double]] = []
    for step in outer {
      let rows = try rows(of: step)
      if sum.isEmpty {
        sum = rows
        continue
      }
      guard rows.map(\.count) == sum.map(\.count) else {
        throw step.fail("expected as many layers and experts as in the first step")
      }
      for layer in rows.indices {
        for expert in rows[layer].indices { sum[layer][expert] += rows[layer][expert] }
      }
    }
    return sum
  }
}
