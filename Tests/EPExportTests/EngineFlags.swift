import EPExport
import Foundation

/// What an engine's own parser says of its flags: dumps of its argparse actions, kept beside the
/// repository with the other published numbers.
struct EngineFlags {
  struct Action: Decodable {
    var flags: [String]
    var choices: [String]?
    var nargs: Count?
    var type: String?
    var `default`: String

    enum Count: Decodable, Equatable {
      case number(Int)
      case text(String)

      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int.self) {
          self = .number(number)
        } else {
          self = .text(try container.decode(String.self))
        }
      }
    }
  }

  private var actions: [String: Action] = [:]

  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "shared/numbers/engines")

  static let areThere = FileManager.default.fileExists(
    atPath: folder.appending(path: "sglang_flags.json").path())

  init(_ file: String) throws {
    let data = try Data(contentsOf: EngineFlags.folder.appending(path: file))
    for action in try JSONDecoder().decode([Lenient].self, from: data).map(\.action) {
      for flag in action.flags { actions[flag] = action }
    }
  }

  subscript(flag: String) -> Action? { actions[flag] }

  /// Defaults are text in one dump and any JSON in another.
  private struct Lenient: Decodable {
    var action: Action

    enum Keys: String, CodingKey { case flags, choices, nargs, type, `default` }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Keys.self)
      action = Action(
        flags: try container.decode([String].self, forKey: .flags),
        choices: try container.decodeIfPresent([String].self, forKey: .choices),
        nargs: try container.decodeIfPresent(Action.Count.self, forKey: .nargs),
        type: try container.decodeIfPresent(String.self, forKey: .type),
        default: (try? container.decode(String.self, forKey: .default)) ?? "")
    }
  }

  /// What the parser would say of a command, flag by flag.
  func problems(of command: LaunchCommand) -> [String] {
    command.arguments.filter { !$0.flag.isEmpty }.compactMap { argument in
      guard let action = actions[argument.flag] else { return "no flag \(argument.flag)" }
      if action.nargs == .number(0) {
        return argument.values.isEmpty ? nil : "\(argument.flag) takes no value"
      }
      guard let value = argument.values.first else { return "\(argument.flag) needs a value" }
      if action.nargs == nil && argument.values.count != 1 {
        return "\(argument.flag) takes one value"
      }
      if let choices = action.choices, !choices.contains(value) {
        return "\(argument.flag) takes no '\(value)'"
      }
      switch action.type {
      case "int", "human_readable_int": return Int(value) == nil ? "\(argument.flag) \(value)" : nil
      case "float": return Double(value) == nil ? "\(argument.flag) \(value)" : nil
      default: return nil
      }
    }
  }
}
