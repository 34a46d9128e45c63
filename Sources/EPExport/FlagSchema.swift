internal import EPIR
internal import EPJSON

/// The flags of one program at one version, as far as exporters write them.
public struct FlagSchema: Hashable, Sendable {
  /// What a flag takes.
  public enum Kind: Hashable, Sendable {
    /// Nothing.
    case toggle
    /// An integer of at least so much.
    case int(least: Int)
    /// A number.
    case real(ClosedRange<Double>)
    /// Any text.
    case text
    /// One of some words.
    case choice([String])
    /// A JSON object with some of these keys.
    case json([Key])
    /// So many texts at least.
    case texts(least: Int)
  }

  /// A key of a JSON value.
  public struct Key: Hashable, Sendable {
    /// The name.
    public var name: String
    /// What it takes; never JSON again.
    public var kind: Kind

    init(_ name: String, _ kind: Kind) {
      self.name = name
      self.kind = kind
    }
  }

  /// A flag.
  public struct Flag: Hashable, Sendable {
    /// The name, dashes included.
    public var name: String
    /// What it takes.
    public var kind: Kind
    /// Whether it may be given more than once.
    public var repeats: Bool

    init(_ name: String, _ kind: Kind, repeats: Bool = false) {
      self.name = name
      self.kind = kind
      self.repeats = repeats
    }
  }

  /// The program and version: `SGLang 0.5.23`.
  public var name: String
  /// The flags.
  public var flags: [Flag]

  /// What a command does that the program would refuse.
  public func problems(of command: LaunchCommand) -> [String] {
    var problems: [String] = []
    var seen: Set<String> = []
    for argument in command.arguments where !argument.flag.isEmpty {
      guard let flag = flags.first(where: { $0.name == argument.flag }) else {
        problems.append("\(name) has no flag \(argument.flag)")
        continue
      }
      if !seen.insert(flag.name).inserted && !flag.repeats {
        problems.append("\(flag.name) is given twice")
      }
      if let problem = FlagSchema.problem(argument.values, flag.kind) {
        problems.append("\(flag.name) \(problem)")
      }
    }
    return problems
  }

  private static func problem(_ values: [String], _ kind: Kind) -> String? {
    switch kind {
    case .toggle: return values.isEmpty ? nil : "takes no value"
    case .texts(let least):
      return values.count >= least ? nil : "takes at least \(least) values, not \(values.count)"
    default: break
    }
    guard let value = values.first, values.count == 1 else {
      return "takes one value, not \(values.count)"
    }
    switch kind {
    case .int(let least):
      guard let number = Int(value) else { return "takes an integer, not '\(value)'" }
      return number >= least ? nil : "is at least \(least), not \(number)"
    case .real(let range):
      guard let number = Double(value), range.contains(number) else {
        return "takes a number in \(range), not '\(value)'"
      }
      return nil
    case .choice(let choices):
      return choices.contains(value) ? nil : "takes one of \(choices), not '\(value)'"
    case .json(let keys): return problem(inJSON: value, keys)
    case .text, .toggle, .texts: return value.isEmpty ? "takes a text" : nil
    }
  }

  private static func problem(inJSON text: String, _ keys: [Key]) -> String? {
    do {
      for (name, node) in try JSONNode(JSONValue.parse(bytes: Array(text.utf8))).entries {
        guard let key = keys.first(where: { $0.name == name }) else {
          return "has no key '\(name)'"
        }
        let value: String
        switch node.value {
        case .int(let number): value = String(number)
        case .double(let number): value = String(number)
        case .string(let text): value = text
        default: return "has a '\(name)' that is neither number nor text"
        }
        if let problem = problem([value], key.kind) { return "'\(name)' \(problem)" }
      }
      return nil
    } catch { return error.description }
  }
}
