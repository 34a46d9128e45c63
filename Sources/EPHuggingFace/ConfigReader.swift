import EPJSON

/// Reads the fields of one config, and knows in the end which ones nobody read.
///
/// A field that a family reads is honoured. Of the others, those on a list of irrelevant ones are
/// passed over; any further one refuses the import, because it may change what the model computes.
final class ConfigReader {
  /// The family, as error messages name it.
  let family: String
  /// The object that is read.
  let node: JSONNode
  /// What stands before a field's name in messages: `text_config.`.
  private let scope: String
  private var seen: Set<String> = []
  private var children: [(key: String, reader: ConfigReader)] = []
  /// What was left out or assumed, one phrase each.
  private(set) var notes: [String] = []
  /// The name of the model.
  var modelName: String
  /// The wrapper's config, for what it declares on behalf of the model inside.
  var outer: ConfigReader?

  init(family: String, node: JSONNode, scope: String = "", modelName: String) {
    self.family = family
    self.node = node
    self.scope = scope
    self.modelName = modelName
  }

  /// Leaves a note for who imports the model.
  func note(_ text: String) { notes.append(text) }

  /// The error that a field's value cannot be honoured; the reason completes the sentence.
  func refusal(_ key: String, _ reason: String) -> ImportError {
    let value = (try? node.optional(key))?.value ?? .null
    return .refused(family: family, field: scope + key, value: value, reason: reason)
  }

  /// Runs a read and turns what goes wrong into an import error.
  func reading<T>(_ body: () throws(JSONError) -> T) throws(ImportError) -> T {
    do {
      return try body()
    } catch {
      throw .document(error)
    }
  }

  // MARK: Fields

  /// A field's node, or nil where it is missing or null.
  func optional(_ key: String) throws(ImportError) -> JSONNode? {
    seen.insert(key)
    return try reading { () throws(JSONError) in try node.optional(key) }
  }

  private func required(_ key: String) throws(ImportError) -> JSONNode {
    seen.insert(key)
    return try reading { () throws(JSONError) in try node[key] }
  }

  /// An integer that must be there.
  func int(_ key: String, in range: ClosedRange<Int>) throws(ImportError) -> Int {
    let field = try required(key)
    return try reading { () throws(JSONError) in try field.int(in: range) }
  }

  /// An integer that must be there under one of two names.
  func int(
    _ key: String, or other: String, in range: ClosedRange<Int>
  ) throws(ImportError) -> Int {
    if let value = try optionalInt(other, in: range) {
      try require(key, .int(value), else: "differs from '\(other)'")
      return value
    }
    return try int(key, in: range)
  }

  /// An integer that may be missing; without a default it is required.
  func int(
    _ key: String, in range: ClosedRange<Int>, default fallback: Int?
  ) throws(ImportError) -> Int {
    if let value = try optionalInt(key, in: range) ?? fallback { return value }
    return try int(key, in: range)
  }

  /// An integer that may be missing, or null.
  func optionalInt(_ key: String, in range: ClosedRange<Int>) throws(ImportError) -> Int? {
    guard let field = try optional(key) else { return nil }
    return try reading { () throws(JSONError) in try field.int(in: range) }
  }

  /// A number that must be there.
  func real(
    _ key: String, in range: ClosedRange<Double> = -1e12...1e12
  ) throws(ImportError) -> Double {
    let field = try required(key)
    return try reading { () throws(JSONError) in try field.double(in: range) }
  }

  /// A number that may be missing; without a default it is required.
  func real(
    _ key: String, in range: ClosedRange<Double> = -1e12...1e12, default fallback: Double?
  ) throws(ImportError) -> Double {
    if let value = try optionalReal(key, in: range) ?? fallback { return value }
    return try real(key, in: range)
  }

  /// A number that may be missing, or null.
  func optionalReal(
    _ key: String, in range: ClosedRange<Double> = -1e12...1e12
  ) throws(ImportError) -> Double? {
    guard let field = try optional(key) else { return nil }
    return try reading { () throws(JSONError) in try field.double(in: range) }
  }

  /// A flag; the default is what the reference implementation takes.
  func flag(_ key: String, default fallback: Bool) throws(ImportError) -> Bool {
    guard let field = try optional(key) else { return fallback }
    return try reading { () throws(JSONError) in try field.bool() }
  }

  /// A flag that must be there, because published models differ from the implementation's default.
  func flag(_ key: String) throws(ImportError) -> Bool {
    let field = try required(key)
    return try reading { () throws(JSONError) in try field.bool() }
  }

  /// A text that may be missing.
  func optionalText(_ key: String) throws(ImportError) -> String? {
    guard let field = try optional(key) else { return nil }
    return try reading { () throws(JSONError) in try field.string(maxLength: 4096) }
  }

  /// A list of texts that may be missing.
  func optionalTexts(_ key: String) throws(ImportError) -> [String]? {
    guard let field = try optional(key) else { return nil }
    return try reading { () throws(JSONError) in
      var texts: [String] = []
      for element in try field.array(maxCount: 4096) { texts.append(try element.string()) }
      return texts
    }
  }

  /// A list of integers that may be missing.
  func optionalInts(
    _ key: String, in range: ClosedRange<Int> = 0...1 << 20
  ) throws(ImportError) -> [Int]? {
    guard let field = try optional(key) else { return nil }
    return try reading { () throws(JSONError) in try field.ints(in: range, maxCount: 4096) }
  }

  /// An object that may be missing, to be read as strictly as this one.
  func optionalObject(_ key: String) throws(ImportError) -> ConfigReader? {
    if let child = children.first(where: { $0.key == key }) { return child.reader }
    guard let field = try optional(key) else { return nil }
    _ = try reading { () throws(JSONError) in try field.keys }
    let child = ConfigReader(
      family: family, node: field, scope: scope + key + ".", modelName: modelName)
    children.append((key, child))
    return child
  }

  // MARK: Fields with one meaning

  /// Refuses a field unless it is missing, null or one of the values.
  func require(
    _ key: String, _ accepted: JSONValue..., else reason: String
  ) throws(ImportError) {
    guard let field = try optional(key) else { return }
    if !accepted.contains(where: { $0.equals(field.value) }) { throw refusal(key, reason) }
  }

  /// Declares fields that do not change what the model computes.
  func ignore(_ keys: String...) { seen.formUnion(keys) }

  /// Declares all fields of this object read.
  func ignoreRest() {
    if let keys = try? node.keys { seen.formUnion(keys) }
  }

  /// The objects read below this one.
  var childrenOfAllLevels: [ConfigReader] {
    children.flatMap { [$0.reader] + $0.reader.childrenOfAllLevels }
  }

  /// Refuses the first field that nobody read and that is not irrelevant.
  func finish() throws(ImportError) {
    let entries = try reading { () throws(JSONError) in try node.entries }
    for (key, field) in entries
    where !seen.contains(key) && !field.isNull && !IrrelevantFields.contains(key) {
      throw .unknownField(family: family, field: scope + key, value: field.value)
    }
    for child in children { try child.reader.finish() }
  }
}

extension JSONValue {
  /// Equality by number: `1` is `1.0`.
  fileprivate func equals(_ other: JSONValue) -> Bool {
    switch (self, other) {
    case (.int(let a), .double(let b)): return Double(a) == b
    case (.double(let a), .int(let b)): return a == Double(b)
    default: return self == other
    }
  }
}

/// What sizes a config may have: larger than any model, small enough that no product overflows.
enum Sizes {
  static let hidden = 1...1 << 17
  static let inner = 1...1 << 20
  static let vocabulary = 1...1 << 24
  static let layers = 1...1 << 10
  static let heads = 1...1 << 12
  static let head = 1...1 << 14
  static let experts = 1...1 << 14
  static let tokens = 1...1 << 40
}
