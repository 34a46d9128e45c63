internal import EPModel

/// What may stand in a YAML file of an engine or a cluster, as far as exporters write it.
indirect enum DocumentSchema: Sendable {
  /// A key of an object.
  struct Field: Sendable {
    var name: String
    var schema: DocumentSchema
    var isRequired: Bool

    init(_ name: String, _ schema: DocumentSchema, isRequired: Bool = false) {
      self.name = name
      self.schema = schema
      self.isRequired = isRequired
    }
  }

  /// Any text but an empty one.
  case text
  /// One of some texts.
  case choice([String])
  /// A name as Kubernetes has them, of at most so many characters.
  case label(most: Int)
  /// True or false.
  case flag
  /// An integer of at least so much.
  case int(least: Int)
  /// A number.
  case real(ClosedRange<Double>)
  /// A list of so many items.
  case list(DocumentSchema, ClosedRange<Int> = 1...(1 << 20))
  /// An object with some of these keys.
  case object([Field])
  /// An object with any keys, all of one kind.
  case map(DocumentSchema)

  /// What a document has that it may not have, each with its place: `$.spec.roles[0].name`.
  func problems(of document: Document, at path: String = "$") -> [String] {
    switch (self, document) {
    case (.text, .text(let text)): return text.isEmpty ? ["\(path) is empty"] : []
    case (.choice(let choices), .text(let text)):
      return choices.contains(text) ? [] : ["\(path) is one of \(choices), not '\(text)'"]
    case (.label(let most), .text(let text)):
      let isLabel =
        text.utf8.count <= most && text.first != "-" && text.last != "-"
        && text.utf8.allSatisfy { byte in
          (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
        }
      return isLabel && !text.isEmpty ? [] : ["\(path) is no name of Kubernetes: '\(text)'"]
    case (.flag, .flag): return []
    case (.int(let least), .int(let number)):
      return number >= least ? [] : ["\(path) is at least \(least), not \(number)"]
    case (.real(let range), .real(let number)):
      return range.contains(number) ? [] : ["\(path) is in \(range), not \(number)"]
    case (.list(let schema, let count), .list(let items)):
      if !count.contains(items.count) {
        return ["\(path) has \(count.lowerBound) to \(count.upperBound) items, not \(items.count)"]
      }
      return items.enumerated().flatMap { schema.problems(of: $1, at: "\(path)[\($0)]") }
    case (.object(let fields), .object(let entries)):
      let missing = fields.filter { field in
        field.isRequired && !entries.contains { $0.name == field.name }
      }
      return missing.map { "\(path) needs '\($0.name)'" }
        + entries.flatMap { entry -> [String] in
          guard let field = fields.first(where: { $0.name == entry.name }) else {
            return ["\(path) has no key '\(entry.name)'"]
          }
          return field.schema.problems(of: entry.value, at: "\(path).\(entry.name)")
        }
    case (.map(let schema), .object(let entries)):
      return entries.flatMap { schema.problems(of: $0.value, at: "\(path).\($0.name)") }
    default: return ["\(path) is something else than it may be"]
    }
  }
}
