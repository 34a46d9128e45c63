import ArgumentParser
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPSearch
import Glibc
import Synchronization

struct SearchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Find the best deployments of a model under limits on latency.",
    discussion: """
      Parallelism, batches, MTP, exchanges and the ratio of prefill to decode are searched; memory \
      and the limits are kept. docs/search.md says what is searched and how times are made up.

        epc search models/deepseek-v3.swift --cluster h200:64 --isl 4000 --osl 1000 \\
          --ttft 5000 --tpot 50
        epc search models/k2.swift --cluster h200:128 --tpot 40 --plan 1 -o plan.json --svg front.svg
      """)

  @Argument(help: "The model.")
  var model: String

  @Option(help: "The devices: NAME:COUNT such as h200:32, or a JSON file.")
  var cluster: String

  @Option(help: "Tokens of a prompt.")
  var isl: Int = 4000

  @Option(help: "Tokens made for a prompt.")
  var osl: Int = 1000

  @Option(help: "Most milliseconds until the first token, on average; no limit unless set.")
  var ttft: Double?

  @Option(help: "Most milliseconds between tokens of a request; no limit unless set.")
  var tpot: Double?

  @Option(
    help: "What is sought: throughput over all devices, cost (only used ones count), latency.")
  var objective: ObjectiveFlag = .throughput

  @Option(help: "Prompts read by devices of their own: auto, always or never.")
  var disaggregate: DisaggregateFlag = .auto

  @Option(help: "The part of prompts that a prefix cache has.")
  var cacheHit: Double = 0

  @Option(
    help: ArgumentHelp(
      "How tokens are spread over experts.",
      discussion: "'typical', 'even', 'lognormal:SIGMA', 'zipf:EXPONENT', or a file with a row of "
        + "tokens a MoE layer."))
  var loads: String = "typical"

  @Option(help: "Most MTP depths to consider; all the model has unless set.")
  var mtp: Int?

  @Option(help: "The chance that a drafted token is accepted, given those before it.")
  var acceptance: Double = 0.85

  @Option(help: "Number formats of all weights to try beside the model's own, by commas.")
  var weights: String?

  @Option(help: "Number formats attention computes in to try, by commas: bf16, fp8.")
  var attention: String = "bf16"

  @Option(
    help: "How tokens reach experts: auto (the faster kernels of All-to-All) or all-gather.")
  var dispatch: PlanFlags.DispatchFlag = .auto

  @Option(help: "Dollars of a device and hour; the hardware file's price unless set.")
  var price: Double?

  @Option(help: "Requests a second to serve: prints devices and dollars a month, beside TP and PP.")
  var demand: Double?

  @Option(help: ArgumentHelp("Compile this row's pools, verified, to '-o'.", valueName: "row"))
  var plan: Int?

  @Option(name: .shortAndLong, help: "Where to write the plan of '--plan'; '-' is stdout.")
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Replay requests through the row of '--plan', or the first.",
      discussion: "'poisson' or 'constant' at nine tenths of what the row takes, 'poisson:RATE', "
        + "'constant:RATE' in requests a second, or a trace: a JSON object a line with timestamp, "
        + "input_length, output_length and maybe hash_ids."))
  var replay: String?

  @Option(help: "Requests of a replay, unless it is of a trace.")
  var requests: Int = 2000

  @Option(help: "Where to draw tokens for a user against tokens for a device.")
  var svg: String?

  @Option(help: "Threads.")
  var threads: Int = 2

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  /// What '--objective' takes.
  enum ObjectiveFlag: String, ExpressibleByArgument, CaseIterable {
    case throughput, cost, latency
  }

  /// What '--disaggregate' takes.
  enum DisaggregateFlag: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never
  }

  func run() throws {
    try reporting { () throws(Diagnostics) in
      if (plan == nil) != (output == nil) {
        throw Diagnostics("flag", "'--plan ROW' and '-o FILE' come together")
      }
      if let demand, !(demand > 0 && demand <= 1e9) {
        throw Diagnostics("flag", "'--demand \(demand)'; it is requests a second, above 0")
      }
      if !(1...256).contains(threads) {
        throw Diagnostics("flag", "'--threads \(threads)'; it is between 1 and 256")
      }
      if replay == nil {
        try GivenFlags.refuse(["requests"], "is of '--replay', which is not given")
      }
      // A search takes long enough to say first what cannot be of use after it.
      if let plan { try check(plan, among: SearchResult.mostRows) }
      for path in [output, svg].compactMap({ $0 }) { try Terminal.requireFolder(of: path) }
      let load = try replay.map { text throws(Diagnostics) in
        try ReplayLoad.check(count: requests)
        return try ReplayLoad(flag: "--replay", text, rate: 1)
      }
      let problem = try self.problem()
      let bar = SearchProgress()
      let result = try Search(problem, threads: threads).run { bar.show($0, of: $1) }
      bar.end()
      try print(result, load)
      if let svg { try Terminal.save(Array(result.svg.utf8), to: svg) }
      if let plan, let output { try save(plan, of: result, to: output) }
      if result.best.isEmpty { throw Diagnostics("infeasible", result.infeasibility) }
    }
  }

  private func problem() throws(Diagnostics) -> SearchProblem {
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    let cluster = try catalog.cluster(cluster)
    try cluster.summary.requireAlike()
    let loaded = try LoadedModel.load(model)
    for note in loaded.notes { Terminal.error("note: \(note)") }
    let cost = CostModel(cluster.hardware, calibration: try Calibration(catalog: catalog))
    var problem = SearchProblem(
      loaded.program, cluster: cluster, cost: cost, promptLength: isl, outputLength: osl)
    if let ttft { problem.timeToFirstToken = ttft / 1e3 }
    if let tpot { problem.timePerToken = tpot / 1e3 }
    problem.objective = SearchProblem.Objective(rawValue: objective.rawValue) ?? .throughput
    problem.disaggregation =
      SearchProblem.Disaggregation(rawValue: disaggregate.rawValue) ?? .auto
    if dispatch == .lowLatency || dispatch == .normal {
      throw PlanFlags.unknown("--dispatch", dispatch.rawValue, ["auto", "all-gather"])
    }
    problem.gathersTokens = dispatch == .allGather
    problem.cacheHitRate = cacheHit
    problem.acceptance = acceptance
    problem.skew = try ExpertSkew(flag: loads)
    if let mtp {
      if mtp < 0 || mtp > loaded.program.drafts.count {
        throw Diagnostics(
          "mtp-depth",
          "'--mtp \(mtp)', but \(loaded.program.name) has \(loaded.program.drafts.count) MTP depths"
        )
      }
      problem.space.drafts.removeAll { $0 > mtp }
    }
    problem.space.precisions = try formats(weights ?? "", "--weights").map { format in
      Precision(
        linear: format, experts: format,
        other: format == .fp32 || format == .fp16 ? format : .bf16)
    }
    problem.space.attentionFormats = try formats(attention, "--attention")
    if let wrong = problem.space.attentionFormats.first(where: { $0 != .bf16 && $0 != .fp8 }) {
      throw PlanFlags.unknown("--attention", wrong.rawValue, ["bf16", "fp8"])
    }
    if let price {
      if !(price >= 0 && price <= 1e6) {
        throw Diagnostics("flag", "'--price \(price)'; it is dollars, at least 0")
      }
      problem.dollarsPerHour = price
    }
    return problem
  }

  private func check(_ row: Int, among count: Int) throws(Diagnostics) {
    if row >= 1 && row <= count { return }
    throw Diagnostics(
      "flag",
      "'--plan \(row)'; "
        + (count == SearchResult.mostRows
          ? "a search has at most rows 1 to \(count)"
          : count == 0 ? "no row keeps the limits" : "there are rows 1 to \(count) here"))
  }

  private func run(
    _ load: ReplayLoad, _ result: SearchResult
  ) throws(Diagnostics) -> ReplayReport {
    let row = plan ?? 1
    try check(row, among: result.best.count)
    let deployment = result.best[row - 1]
    var load = load
    if let replay, ["poisson", "constant"].contains(replay) {
      load = try ReplayLoad(flag: "--replay", replay, rate: 0.9 * deployment.requestRate)
    }
    return try Replay(result.problem, deployment).run(load, count: requests)
  }

  private func formats(_ text: String, _ flag: String) throws(Diagnostics) -> [Precision.Format] {
    var formats: [Precision.Format] = []
    for name in text.split(separator: ",") {
      guard let format = Precision.Format(rawValue: String(name)) else {
        throw PlanFlags.unknown(flag, String(name), Precision.Format.allCases.map(\.rawValue))
      }
      formats.append(format)
    }
    return formats
  }

  private func save(
    _ row: Int, of result: SearchResult, to output: String
  ) throws(Diagnostics) {
    // What comes closest has been said where nothing keeps the limits.
    if result.best.isEmpty { return }
    try check(row, among: result.best.count)
    let plan = try result.plan(for: result.best[row - 1])
    do { try Terminal.save(try plan.serialized(), to: output) } catch let error as Diagnostics {
      throw error
    } catch { throw Diagnostics("plan-json", "\(error)") }
    if output != "-" && format == .text { Terminal.print("wrote \(output)\n") }
  }

  private func print(_ result: SearchResult, _ load: ReplayLoad?) throws(Diagnostics) {
    var replayed: ReplayReport?
    if let load, !result.best.isEmpty { replayed = try run(load, result) }
    var rows: [Ownership] = []
    if let demand { rows = try result.ownership(requestRate: demand, threads: threads) }
    switch format {
    case .text:
      Terminal.print(try result.text())
      if let replayed { Terminal.print("\n" + replayed.text) }
      if let demand { Terminal.print("\n" + result.ownershipText(rows, requestRate: demand)) }
    case .json:
      let ownership = demand.map { result.ownershipDocument(rows, requestRate: $0) }
      try Terminal.print(
        try result.document().with("replay", replayed?.document).with("ownership", ownership))
    }
  }
}

/// A line on the terminal that fills, once a search takes longer than a second.
private final class SearchProgress: Sendable {
  private let start = ContinuousClock.now
  private let isShown = isatty(STDERR_FILENO) == 1
  private let most = Mutex(0)

  func show(_ count: Int, of total: Int) {
    guard isShown, start.duration(to: .now) > .seconds(1) else { return }
    most.withLock { most in
      if count <= most { return }
      most = count
      let filled = count * 30 / max(total, 1)
      let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
      Terminal.draw("\r[\(bar)] \(count)/\(total) parts")
    }
  }

  func end() {
    if most.withLock({ $0 }) > 0 { Terminal.draw("\r" + String(repeating: " ", count: 60) + "\r") }
  }
}
