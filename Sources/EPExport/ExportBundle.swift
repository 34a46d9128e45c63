public import EPIR
internal import EPJSON
public import EPModel

/// What an export is made of: commands, files, and what the target has no words for.
public struct ExportBundle: Hashable, Sendable {
  /// A file of the folder that an export makes.
  public struct File: Hashable, Sendable {
    /// The name in the folder.
    public var name: String
    /// The content.
    public var bytes: [UInt8]

    init(_ name: String, _ text: String) {
      self.name = name
      bytes = Array(text.utf8)
    }
  }

  /// Something of the plan that the target cannot be told, or that the plan does not know.
  public struct Remark: Hashable, Sendable {
    /// What it is about: `placement`.
    public var subject: String
    /// What is lost, or left to whoever runs the export.
    public var text: String

    init(_ subject: String, _ text: String) {
      self.subject = subject
      self.text = text
    }
  }

  /// The target.
  public var target: ExportTarget
  /// What is written for: `SGLang 0.5.23`.
  public var version: String
  /// The model's name.
  public var model: String
  /// The commands, in the order they are best started.
  public var commands: [LaunchCommand]
  /// The files, scripts for the commands not among them.
  public var files: [File]
  /// What is lost or left open.
  public var remarks: [Remark]
  /// What was checked.
  public var checks: [Preflight.Check]

  init(_ target: ExportTarget, version: String, model: String) {
    self.target = target
    self.version = version
    self.model = model
    commands = []
    files = []
    remarks = []
    checks = []
  }

  /// Refuses commands with flags that their program does not take. Such are mistakes of an exporter.
  func requireFlags(_ schema: (LaunchCommand) -> FlagSchema) throws(Diagnostics) {
    let problems = commands.flatMap { command in
      schema(command).problems(of: command).map {
        Diagnostic("export-flag", "\(command.name): \($0)")
      }
    }
    if !problems.isEmpty { throw Diagnostics(problems) }
  }

  /// A document as YAML; refused where it has what its reader does not take, a mistake of an exporter.
  static func yaml(
    _ document: Document, _ schema: DocumentSchema?, in file: String
  ) throws(Diagnostics) -> String {
    let problems = schema?.problems(of: document) ?? ["it is of a kind without a schema"]
    if !problems.isEmpty {
      throw Diagnostics(problems.map { Diagnostic("export-key", "\(file): \($0)") })
    }
    return document.yaml
  }

  /// All files of the folder: those of the export, a script for each command, and an index.
  public func folder() throws(Diagnostics) -> [File] {
    var all = files
    if target != .kubernetes {
      all += commands.map {
        File($0.name + ".sh", $0.script(heading: "\(model), \(version)"))
      }
    }
    do {
      let bytes = try JSONValue.parse(bytes: Array(document.json.utf8)).serialized(style: .pretty)
      all.append(File("export.json", String(decoding: bytes, as: UTF8.self)))
    } catch { throw Diagnostics("export-json", "\(error)") }
    return all
  }

  /// The export as data.
  public var document: Document {
    .object([
      "target": .text(target.rawValue), "version": .text(version), "model": .text(model),
      "commands": .list(commands.map(\.document)), "files": .texts(files.map(\.name)),
      "not_said": .list(
        remarks.map { .object(["subject": .text($0.subject), "text": .text($0.text)]) }),
      "checks": .list(checks.map(\.document)),
    ])
  }
}

extension Preflight.Check {
  /// The check as data.
  public var document: Document {
    .object([
      "id": .text(id), "pool": .text(pool), "text": .text(text), "passed": .flag(problem == nil),
      "problem": problem.map(Document.text),
    ])
  }
}
