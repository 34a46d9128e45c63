public import EPJSON
public import EPModel

// Reads functions out of JSON: the inverse of `Function.document`, for data nobody vouches for.

extension JSONNode {
  /// Runs a parser of text, blaming this element for what it refuses.
  func parsed<Value>(_ parse: (String) throws(OpError) -> Value) throws(JSONError) -> Value {
    let text = try string(maxLength: 1 << 16)
    do { return try parse(text) } catch { throw fail(error.description) }
  }
}

extension Function {
  /// The most values, weights or operations a function may have.
  public static let mostParts: Int = 1 << 14

  /// Reads a function and checks that its references point at something.
  public init(json node: JSONNode) throws(JSONError) {
    self.init(try node["name"].string(maxLength: 256))
    for value in try node["values"].array(maxCount: Function.mostParts) {
      values.append(
        try value.parsed { text throws(OpError) in try TensorType(parsing: text) })
    }
    for weight in try node["weights"].array(maxCount: Function.mostParts) {
      weights.append(try WeightDeclaration(json: weight))
    }
    for cache in try node.optional("caches")?.array(maxCount: Function.mostParts) ?? [] {
      caches.append(try CacheDeclaration(json: cache))
    }
    for operation in try node["operations"].array(maxCount: Function.mostParts) {
      operations.append(try Operation(json: operation, in: self))
    }
    for port in try node["parameters"].array(maxCount: 64) {
      parameters.append(try Port(json: port, values: values.count))
    }
    for port in try node["results"].array(maxCount: 64) {
      results.append(try Port(json: port, values: values.count))
    }
  }
}

extension Function.Port {
  init(json node: JSONNode, values: Int) throws(JSONError) {
    self.init(
      try node["name"].string(maxLength: 256),
      try node["value"].index(below: values, "values"))
  }
}

extension JSONNode {
  /// An index into something that has `count` elements.
  public func index(below count: Int, _ what: String) throws(JSONError) -> Int {
    let index = try int()
    if index < 0 || index >= count { throw fail("\(index) is none of the \(count) \(what)") }
    return index
  }

  /// Axes, written as texts, of at most 2^52 elements together.
  public func axes() throws(JSONError) -> [Axis] {
    var axes: [Axis] = []
    for axis in try array(maxCount: 8) {
      axes.append(try axis.parsed { text throws(OpError) in try Axis(parsing: text) })
    }
    if Axis.elements(of: axes) == nil { throw fail("over 2^52 elements") }
    return axes
  }
}

extension WeightDeclaration {
  init(json node: JSONNode) throws(JSONError) {
    let name = try node["name"].string(maxLength: 4096)
    let role: Role = try node["role"].stringEnum()
    var stored: [StoredTensor] = role == .constant ? [] : [StoredTensor(name)]
    if let places = try node.optional("stored")?.array(maxCount: 16) {
      stored = []
      for place in places { stored.append(try StoredTensor(json: place)) }
    }
    let axes = try node["axes"].axes()
    if let rows = axes.first(where: \.isRows) {
      throw try node["axes"].fail("a weight has no \(rows)")
    }
    var constants: [[Double]] = []
    for row in try node.optional("constants")?.array(maxCount: 100_000) ?? [] {
      var elements: [Double] = []
      for element in try row.array(maxCount: 1 << 24) { elements.append(try element.double()) }
      if elements.count != Axis.elements(of: axes) {
        throw row.fail("\(elements.count) elements for \(TensorType(axes))")
      }
      constants.append(elements)
    }
    if (role == .constant) == constants.isEmpty {
      throw node.fail("only constants, and all of them, list their elements")
    }
    self.init(name, axes: axes, role: role, stored: stored, constants: constants)
  }
}

extension StoredTensor {
  init(json node: JSONNode) throws(JSONError) {
    var rows = Rows.all
    if let range = try node.optional("rows") {
      let parts = try range.ints(in: 0...(1 << 40), maxCount: 3)
      guard parts.count == 3, parts[1] > 0, parts[0] + parts[1] <= parts[2] else {
        throw range.fail("rows are [start, count, total] within the total")
      }
      rows = .range(start: parts[0], count: parts[1], total: parts[2])
    } else if let interleaved = try node.optional("interleaved") {
      let parts = try interleaved.ints(in: 0...64, maxCount: 2)
      guard parts.count == 2, parts[0] < parts[1] else {
        throw interleaved.fail("interleaved rows are [index, stride] with index < stride")
      }
      rows = .interleaved(index: parts[0], stride: parts[1])
    }
    self.init(
      try node["name"].string(maxLength: 4096),
      transposed: try node.optional("transposed")?.bool() ?? false, rows: rows)
  }
}

extension CacheDeclaration {
  init(json node: JSONNode) throws(JSONError) {
    var parts: [[Axis]] = []
    for part in try node["parts"].array(maxCount: 4) { parts.append(try part.axes()) }
    self.init(
      try node["name"].string(maxLength: 4096), kind: try node["kind"].stringEnum(), parts: parts,
      window: try node.optional("window")?.int(in: 1...(1 << 40)))
  }
}

extension Operation {
  init(json node: JSONNode, in function: Function) throws(JSONError) {
    let kind: OpKind = try node["op"].stringEnum()
    var operands: [Operand] = []
    let read = try node["in"]
    let roles = kind.specification.roles
    try read.requireKeys(only: roles.map(\.name))
    for role in roles {
      guard let element = try read.optional(role.name) else { continue }
      let references = role.presence == .repeated ? try element.array(maxCount: 256) : [element]
      for reference in references {
        operands.append(Operand(role.name, try Reference(json: reference, in: function)))
      }
    }
    var attributes = Attributes()
    let entries = try node.optional("attributes")?.entries ?? []
    if entries.count > 64 { throw node.fail("over 64 attributes") }
    for (name, value) in entries {
      attributes[name] = try Attribute(json: value)
    }
    var results: [Int] = []
    for result in try node["out"].array(maxCount: 16) {
      results.append(try result.index(below: function.values.count, "values"))
    }
    self.init(
      kind, operands, attributes: attributes, results: results,
      scope: try node.optional("scope")?.string(maxLength: 4096) ?? "",
      location: try node.optional("at")?.int(in: 0...(1 << 20)) ?? -1)
    do { try checkForm() } catch { throw node.fail(error.description) }
  }
}

extension Reference {
  init(json node: JSONNode, in function: Function) throws(JSONError) {
    self = try node.parsed { text throws(OpError) in try Reference(parsing: text) }
    let (index, count, what) =
      switch self {
      case .value(let index): (index, function.values.count, "values")
      case .weight(let index): (index, function.weights.count, "weights")
      case .cache(let index): (index, function.caches.count, "caches")
      }
    if index >= count { throw node.fail("\(self) is none of the \(count) \(what)") }
  }
}

extension Attribute {
  init(json node: JSONNode) throws(JSONError) {
    switch node.value {
    case .bool(let value): self = .flag(value)
    case .int(let value): self = .int(value)
    case .double(let value): self = .real(value)
    case .string: self = .text(try node.string(maxLength: 1 << 16))
    case .array:
      var values: [Attribute] = []
      for element in try node.array(maxCount: 1 << 16) {
        values.append(try Attribute(json: element))
      }
      self = .list(values)
    case .null, .object: throw node.fail("an attribute is a flag, a number, a text or a list")
    }
  }
}
