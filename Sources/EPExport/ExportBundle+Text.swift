internal import EPIR

extension ExportBundle {
  /// What was written, for people; with the commands where there is no folder to find them in.
  public func text(showsCommands: Bool) -> String {
    var text = "\(model) for \(version)\n"
    text += "\n" + Preflight.table(checks)
    if showsCommands {
      for command in commands {
        text += "\n# \(command.summary)\n"
        for variable in command.environment {
          text += "export \(variable.name)=\(LaunchCommand.quoted(variable.value))\n"
        }
        text += command.shell(separator: " \\\n  ") + "\n"
      }
    } else {
      text += "\nscripts\n"
      for group in launches {
        let (first, last) = (group[0], group[group.count - 1])
        let hosts = first.host == last.host ? first.host : "\(first.host) to \(last.host)"
        let names = first.name == last.name ? first.name : "\(first.name) to \(last.name)"
        text += "  \(names)" + (hosts.isEmpty ? "" : ", on \(hosts)") + "\n"
      }
    }
    text += "\nnot said to it, or left to you\n"
    for remark in remarks { text += "  - \(remark.subject): \(remark.text)\n" }
    return text
  }

  /// The commands, those of one instance together.
  private var launches: [[LaunchCommand]] {
    var groups: [[LaunchCommand]] = []
    for command in commands {
      func instance(_ command: LaunchCommand) -> Substring {
        command.name.split(separator: "-").prefix(2).joined(separator: "-")[...]
      }
      if let last = groups.last, instance(last[0]) == instance(command) {
        groups[groups.count - 1].append(command)
      } else {
        groups.append([command])
      }
    }
    return groups
  }
}

extension Preflight {
  /// All checks as a table.
  public var text: String {
    "preflight for \(engine.title) \(engine.version)\n" + Preflight.table(checks)
  }

  /// A line for each check: whether it holds, of which pool, and the numbers.
  static func table(_ checks: [Check]) -> String {
    let pool = checks.map(\.pool.count).max() ?? 0
    let id = checks.map(\.id.count).max() ?? 0
    return checks.map { check in
      let mark = check.problem == nil ? "ok    " : "FAILED"
      return "  \(mark)  \(padded(check.pool, pool))  \(padded(check.id, id))  \(check.text)\n"
    }.joined()
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(width - text.count, 0))
  }
}
