import ArgumentParser
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPReport

struct CompileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile",
    abstract: "Compile a model to an execution plan.",
    discussion: """
      MODEL is a model file (.swift), a model JSON ('epc model dump'), a Hugging Face config.json \
      or a checkpoint folder. What no flag fixes, the compiler chooses, and says so.

        epc compile models/k2.swift -o plan.json
        epc compile models/deepseek-v3.swift --ep 144 --phase decode --batch 128
        epc compile models/deepseek-v3.swift --prefill ep=32,tp=4 --decode ep=144
      """)

  @Argument(help: "The model.")
  var model: String

  @OptionGroup
  var flags: PlanFlags

  @Option(name: .shortAndLong, help: "Where to write the plan; '-' is stdout.")
  var output: String?

  @Option(
    help: ArgumentHelp(
      "How exchanges overlap with compute: what takes least (auto), not at all (none), or a number.",
      discussion: "With a number, steps are cut into so many micro-batches.", valueName: "how"))
  var overlap: String = "auto"

  @Option(help: "Print the program after a pass, or after 'all'.")
  var printAfter: [String] = []

  @Option(
    name: .customLong("pass"),
    help: ArgumentHelp(
      "A program that makes another plan of the plan; may be given more than once.",
      discussion: "docs/plugins.md says how it is called.", valueName: "./program"))
  var passes: [String] = []

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  @Flag(help: "Compile a model file even if the cache has it.")
  var noCache = false

  @Flag(help: "Print on stderr how long each step took.")
  var timings = false

  func run() throws {
    try reporting { () throws(Diagnostics) in
      for name in printAfter
      where name != "all" && !Compiler.passes.contains(where: { $0.name == name }) {
        throw PlanFlags.unknown("--print-after", name, ["all"] + Compiler.passes.map(\.name))
      }
      var request = try flags.request()
      request.overlap = try PlanFlags.overlap(overlap)
      if request.overlap != .none && request.loads == nil {
        request.calibration = try Calibration(
          catalog: HardwareCatalog.standard(
            environment: Terminal.environment, executable: Terminal.executable))
      }
      var clock = StepClock()
      let loaded = try LoadedModel.load(model, usesCache: !noCache)
      for note in loaded.notes { Terminal.error("note: \(note)") }
      clock.lap("load the model")
      var plan = try Compiler.compile(Compilation(loaded.program, request)) { pass, compilation in
        clock.lap(pass.name)
        if printAfter.contains("all") || printAfter.contains(pass.name) {
          Terminal.print("// after \(pass.name): \(pass.summary)\n\(compilation.text)\n")
        }
      }
      clock.lap("verify the plan")
      for path in passes {
        plan = try plan.applying(pass: path)
        clock.lap("run \(path) and verify its plan")
      }
      if let output {
        do { try Terminal.save(try plan.serialized(), to: output) } catch let error as Diagnostics {
          throw error
        } catch { throw Diagnostics("plan-json", "\(error)") }
      }
      // With the plan itself on stdout, a summary would not be part of it.
      if output != "-" { try Report.print(plan, format: format) }
      if let output, output != "-", format == .text { Terminal.print("wrote \(output)\n") }
      clock.lap("write and summarise it")
      if timings { Terminal.error(clock.report) }
    }
  }
}

/// Wall time of a command's steps.
struct StepClock {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var last: ContinuousClock.Instant
  private var laps: [(name: String, duration: Duration)] = []

  init() {
    start = clock.now
    last = start
  }

  /// Ends a step.
  mutating func lap(_ name: String) {
    let now = clock.now
    laps.append((name, last.duration(to: now)))
    last = now
  }

  /// A line for each step, and one for all.
  var report: String {
    (laps + [("all", start.duration(to: last))]).map { name, duration in
      let microseconds = Int((duration / Duration.microseconds(1)).rounded())
      return "\(name): \(microseconds / 1000).\(String(microseconds % 1000 + 1000).dropFirst()) ms"
    }.joined(separator: "\n")
  }
}

/// What commands print.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json

  /// Prints a report in this format; the other one is not made.
  func print(
    _ text: @autoclosure () -> String, _ document: @autoclosure () -> Document
  ) throws(Diagnostics) {
    switch self {
    case .text: Terminal.print(text())
    case .json: try Terminal.print(document())
    }
  }
}

/// The summary of a plan, in either format.
enum Report {
  static func print(_ plan: Plan, format: OutputFormat) throws(Diagnostics) {
    let summary = PlanSummary(plan)
    try format.print(
      summary.text(width: Terminal.width, colour: Terminal.takesColour), summary.document)
  }
}
