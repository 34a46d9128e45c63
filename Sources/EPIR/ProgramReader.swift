public import EPJSON
public import EPModel

extension ModelProgram {
  /// Reads a program and verifies it: the inverse of `ModelProgram.document`.
  public init(json node: JSONNode) throws(JSONError) {
    self.init(
      name: try node["name"].name(maxLength: 256),
      vocabulary: try node["vocabulary"].int(in: 1...(1 << 32)),
      hidden: try node["hidden"].int(in: 1...(1 << 32)),
      precision: try Precision(json: node["precision"]))
    var layers = 0
    for function in try node["functions"].array(maxCount: 4096) {
      let read = try Function(json: function)
      do { try read.verify() } catch { throw function.fail(error.description) }
      functions.append(read)
    }
    // Texts such as "0-99999" are short: layers are counted over all calls.
    for call in try node["calls"].array(maxCount: 1 << 16) {
      calls.append(try Call(json: call, functions: functions.count))
      layers += calls[calls.count - 1].layers.count
      if layers > ModelProgram.mostLayers { throw call.fail("too many layers altogether") }
    }
    for call in try node.optional("drafts")?.array(maxCount: 64) ?? [] {
      drafts.append(try Call(json: call, functions: functions.count))
    }
    for name in try node.optional("ignored_tensors")?.array(maxCount: 4096) ?? [] {
      ignoredTensors.append(try name.string(maxLength: 4096))
    }
    for location in try node.optional("locations")?.array(maxCount: 1 << 20) ?? [] {
      locations.append(
        try location.parsed { text throws(OpError) in try SourceLocation(parsing: text) })
    }
    try checkCalls(node)
  }

  /// The most layers that calls may have together.
  public static let mostLayers: Int = 100_000

  private func checkCalls(_ node: JSONNode) throws(JSONError) {
    do { try verifyCalls() } catch { throw try node["calls"].fail(error.description) }
    var uses: [Int: Int] = [:]
    for call in calls + drafts { uses[call.function, default: 0] += max(call.layers.count, 1) }
    for (index, function) in functions.enumerated() {
      let layers = uses[index] ?? 0
      for weight in function.weights where weight.role == .constant {
        if weight.constants.count != layers && weight.constants.count != 1 {
          throw try node["functions"].fail(
            "constant '\(weight.name)' has \(weight.constants.count) rows for \(layers) calls")
        }
      }
    }
  }
}

extension ModelProgram.Call {
  /// Reads a call of one of `functions` functions.
  public init(json node: JSONNode, functions: Int) throws(JSONError) {
    self.init(
      try node["function"].index(below: functions, "functions"),
      layers: try node.optional("layers")?.parsed { text throws(OpError) in
        try ModelProgram.Call.layers(parsing: text)
      } ?? [])
  }
}

extension Precision {
  /// Reads a precision.
  public init(json node: JSONNode) throws(JSONError) {
    self.init(
      linear: try node["linear"].stringEnum(), experts: try node["experts"].stringEnum(),
      other: try node["other"].stringEnum())
  }
}

extension SourceLocation {
  /// Reads `k2.swift:12:5`.
  public init(parsing text: String) throws(OpError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count >= 3, let column = Int(parts[parts.count - 1]),
      let line = Int(parts[parts.count - 2]), line >= 0, column >= 0
    else { throw OpError("'\(text)' is no place such as 'k2.swift:12:5'") }
    self.init(file: parts.dropLast(2).joined(separator: ":"), line: line, column: column)
  }
}
