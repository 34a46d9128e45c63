public import EPModel

/// A command that starts one process on one node.
public struct LaunchCommand: Hashable, Sendable {
  /// A flag with its values, as the command line has them.
  public struct Argument: Hashable, Sendable {
    /// The flag, dashes included; empty for a value that stands alone.
    public var flag: String
    /// The values, none for a switch.
    public var values: [String]
  }

  /// A variable of the environment.
  public struct Variable: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The value.
    public var value: String
  }

  /// What the command is: `decode-0-node-3`. Names the script.
  public var name: String
  /// A line for people: what runs where.
  public var summary: String
  /// The host it is to run on; empty where any will do.
  public var host: String
  /// What the environment must hold.
  public var environment: [Variable]
  /// The program and what stands before its flags.
  public var program: [String]
  /// The flags.
  public var arguments: [Argument]

  /// Starts a command without flags.
  init(name: String, summary: String, host: String, program: [String]) {
    self.name = name
    self.summary = summary
    self.host = host
    self.program = program
    environment = []
    arguments = []
  }

  /// Adds a switch.
  mutating func add(_ flag: String) { arguments.append(Argument(flag: flag, values: [])) }
  /// Adds a flag with a text.
  mutating func add(_ flag: String, _ value: String) {
    arguments.append(Argument(flag: flag, values: [value]))
  }
  /// Adds a flag with an integer.
  mutating func add(_ flag: String, _ value: Int) { add(flag, String(value)) }
  /// Adds a flag with JSON.
  mutating func add(_ flag: String, json: Document) { add(flag, json.json) }
  /// Sets a variable of the environment.
  mutating func set(_ name: String, _ value: String) {
    environment.append(Variable(name: name, value: value))
  }

  /// The words of the command, program first.
  public var words: [String] {
    program + arguments.flatMap { ($0.flag.isEmpty ? [] : [$0.flag]) + $0.values }
  }

  /// The values of a flag, or nil where it is not given.
  public func values(of flag: String) -> [String]? {
    arguments.first { $0.flag == flag }?.values
  }

  /// A shell script that runs the command in the script's own folder.
  public func script(heading: String) -> String {
    var text = "#!/usr/bin/env bash\n# \(heading)\n# \(summary)\nset -euo pipefail\n"
    text += "cd \"$(dirname \"$0\")\"\n"
    for variable in environment {
      text += "export \(variable.name)=\(LaunchCommand.quoted(variable.value))\n"
    }
    return text + "exec " + shell(separator: " \\\n  ") + "\n"
  }

  /// The command as a shell takes it, flags apart by `separator`.
  func shell(separator: String) -> String {
    let head = program.map(LaunchCommand.quoted).joined(separator: " ")
    let flags = arguments.map { argument in
      ((argument.flag.isEmpty ? [] : [argument.flag])
        + argument.values.map(LaunchCommand.quoted)).joined(separator: " ")
    }
    return ([head] + flags).joined(separator: separator)
  }

  /// A word that a POSIX shell reads back as it is.
  static func quoted(_ word: String) -> String {
    let isPlain =
      !word.isEmpty
      && word.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        default: "-_./:,=@%+".utf8.contains(byte)
        }
      }
    return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
  }

  /// The command as data.
  public var document: Document {
    .object([
      "name": .text(name), "host": host.isEmpty ? nil : .text(host),
      "environment": environment.isEmpty
        ? nil
        : .object(environment.map { Document.Field(name: $0.name, value: .text($0.value)) }),
      "command": .texts(words),
    ])
  }
}
