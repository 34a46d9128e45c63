import ArgumentParser
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPPlugin

struct BackendsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backends",
    abstract: "List what can run plans here.",
    discussion: """
      Besides those built in, a backend is a shared library: a path with a slash in it, or an \
      installed one, 'lib<name>.so' in a folder of EPC_BACKEND_PATH or in lib/epc/backends of the \
      installation. Each is tried in a process of its own. docs/backend.md says how to write one.

        epc backends
        epc backends ./libmine.so
      """)

  @Argument(help: "Libraries or names to look at; all that are installed if there are none.")
  var backends: [String] = []

  @Option(help: "How many seconds a backend may take to load.")
  var backendTimeout: Int = 60

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  @Option(help: .hidden)
  var probe: String?

  func run() throws {
    if let probe {
      BackendProbe.answer(for: probe)
      return
    }
    try reporting { () throws(Diagnostics) in
      try BackendChoice.check(seconds: backendTimeout)
      let catalog = BackendCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      let names = backends.isEmpty ? BackendChoice.builtIn + catalog.names : backends
      let entries = names.map { entry($0, catalog) }
      try show(entries)
      let problems = entries.compactMap(\.problem)
      if !backends.isEmpty && !problems.isEmpty {
        throw Diagnostics(problems.map { Diagnostic("backend", $0) })
      }
    }
  }

  private struct Entry {
    var name: String
    var version = ""
    var abi = ""
    var precision = ""
    var path: String?
    var problem: String?
  }

  private func entry(_ name: String, _ catalog: BackendCatalog) -> Entry {
    if BackendChoice.builtIn.contains(name) {
      return Entry(name: name, version: Epc.configuration.version, precision: "fp32")
    }
    var entry = Entry(name: name)
    do throws(PluginError) {
      let path = try catalog.path(of: name, builtIn: BackendChoice.builtIn)
      entry.path = path
      let library = try BackendChoice.library(path, seconds: backendTimeout)
      entry.name = library.name
      entry.version = library.version
      entry.abi = "\(library.abi.major).\(library.abi.minor)"
      entry.precision = library.precision.rawValue
    } catch { entry.problem = error.description }
    return entry
  }

  private func show(_ entries: [Entry]) throws(Diagnostics) {
    if format == .json {
      let list = Document.list(
        entries.map { entry in
          .object([
            "name": .text(entry.name), "version": filled(entry.version), "abi": filled(entry.abi),
            "precision": filled(entry.precision), "path": entry.path.map(Document.text),
            "problem": entry.problem.map(Document.text),
          ])
        })
      do {
        let bytes = try list.jsonValue.serialized(style: .pretty)
        Terminal.print(String(decoding: bytes, as: UTF8.self))
      } catch { throw Diagnostics("backends-json", "\(error)") }
      return
    }
    let usable = entries.filter { $0.problem == nil }
    if !usable.isEmpty {
      var lines = [["NAME", "VERSION", "ABI", "COMPUTES IN", "FROM"]]
      for entry in usable {
        lines.append([
          entry.name, entry.version, entry.abi.isEmpty ? "-" : entry.abi, entry.precision,
          entry.path ?? "built in",
        ])
      }
      let widths = (0..<4).map { column in lines.map { $0[column].count }.max() ?? 0 }
      for line in lines {
        let cells = zip(line, widths).map { text, width in
          text + String(repeating: " ", count: width - text.count)
        }
        Terminal.print((cells + [line[4]]).joined(separator: "  ") + "\n")
      }
    }
    if backends.isEmpty {
      for problem in entries.compactMap(\.problem) {
        Terminal.error(Diagnostic("backend", problem, severity: .warning).description)
      }
    }
  }

  private func filled(_ text: String) -> Document? { text.isEmpty ? nil : .text(text) }
}
