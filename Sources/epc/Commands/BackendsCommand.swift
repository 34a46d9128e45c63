import ArgumentParser
import EPCost
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
    let shown = entries.filter { format == .json || $0.problem == nil }
    let table = shown.table([
      .words("NAME", "name") { .text($0.name) },
      .words("VERSION", "version") { .init($0.version, filled($0.version)) },
      .words("ABI", "abi") { .init($0.abi.isEmpty ? "-" : $0.abi, filled($0.abi)) },
      .words("COMPUTES IN", "precision") { .init($0.precision, filled($0.precision)) },
      .words("FROM", "path") { .init($0.path ?? "built in", $0.path.map(Document.text)) },
      .words("", "problem") { $0.problem.map(ReportTable.Cell.text) },
    ])
    try format.print(shown.isEmpty ? "" : table.aligned, table.document)
    if backends.isEmpty && format == .text {
      for problem in entries.compactMap(\.problem) {
        Terminal.error(Diagnostic("backend", problem, severity: .warning).description)
      }
    }
  }

  private func filled(_ text: String) -> Document? { text.isEmpty ? nil : .text(text) }
}
