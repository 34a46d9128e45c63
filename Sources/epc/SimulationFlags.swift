import ArgumentParser
import EPBackendSimGPU
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan
import EPReport
import Glibc

/// The flags of simulated runs.
struct SimulationFlags: ParsableArguments {
  @Option(help: "Steps to simulate of each pool.")
  var steps: Int = 16

  @Option(
    help: ArgumentHelp(
      "Where simulated tokens go: 'drawn' for each token by the experts' loads, 'mean', every expert "
        + "exactly its share, or a file that '--dump routing --output FILE' recorded."))
  var routing: String = "drawn"

  @Option(
    help: ArgumentHelp(
      "How popular simulated experts are, where that is not what they were placed for: a file or a "
        + "distribution as for '--loads', which places them anew."))
  var skew: String?

  @Option(
    help: "Draw each layer's routing anew in so many simulated steps; 0 keeps the first draw.")
  var resample: Int = 16

  @Option(help: "Memory of a simulated device in GiB; the plan's unless set.")
  var deviceMemory: Double?

  @Option(
    help: "Bandwidth of a simulated node's uplinks over that of its devices' together.")
  var uplink: Double = 1

  @Option(help: "The simulated devices, where the plan's are not installed: h200:32 or a file.")
  var cluster: String?

  @Option(
    help: ArgumentHelp(
      "What goes wrong on simulated devices, as a JSON file.",
      discussion: "docs/simgpu.md describes it.", valueName: "file"))
  var faults: String?

  @Flag(help: "Go on without a simulated rank that is lost, with weights too.")
  var recover = false

  @Option(help: "Simulated devices that stand by to take a lost one's place.")
  var spares: Int = 0

  @Option(
    help: ArgumentHelp(
      "Serve requests through the simulated pools.",
      discussion:
        "'poisson:RATE', 'constant:RATE' in requests a second, or a trace: a JSON object a "
        + "line with timestamp, input_length, output_length and maybe hash_ids."))
  var requests: String?

  @Option(help: "Requests to serve, unless they are of a trace.")
  var requestCount: Int = 1000

  @Option(help: "Tokens of a request's prompt, unless it is of a trace.")
  var inputLength: Int = 2048

  @Option(help: "Tokens made for a request, unless it is of a trace.")
  var outputLength: Int = 256

  @Option(help: "Write a simulated timeline as a Chrome or Perfetto trace.")
  var trace: String?

  @Option(help: "Ranks whose timelines are kept: 0,5,17; some spread over the pool unless set.")
  var traceRanks: String?

  @Option(help: "Steps at the end of which timelines are kept.")
  var traceSteps: Int = 1

  @Option(help: "Write a page with the simulated timeline, loads, traffic and memory.")
  var report: String?

  @Option(help: "Write the simulation's counters as Prometheus text.")
  var metrics: String?

  /// What the flags ask for.
  func options(
    _ plan: Plan, loads: LoadSource?, seed: UInt64, threads: Int?
  ) throws(Diagnostics) -> SimulationOptions {
    for (name, value, most) in [
      ("steps", steps, 10_000_000), ("trace-steps", traceSteps, 1000),
      ("threads", threads ?? 1, 64),
    ] where value < 1 || value > most {
      throw Diagnostics("flag", "'--\(name) \(value)'; it is at least 1 and at most \(most)")
    }
    if resample < 0 { throw Diagnostics("flag", "'--resample \(resample)'; it is not negative") }
    if !(uplink > 0 && uplink <= 1) {
      throw Diagnostics("flag", "'--uplink \(uplink)'; it is above 0 and at most 1")
    }
    var options = SimulationOptions(steps: steps)
    switch routing {
    case "drawn": options.routing.kind = .drawn
    case "mean": options.routing.kind = .mean
    default: options.routing.kind = try .recorded(file: routing, for: plan)
    }
    options.routing.seed = seed
    options.routing.loads = try skewed() ?? loads
    options.resampling = resample
    options.threads = threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    options.uplinkShare = uplink
    options.probedSteps = min(traceSteps, steps)
    options.keepsTraffic = report != nil
    options.faults = try schedule(plan, steps: steps)
    if let late = options.faults.faults.first(where: { $0.step >= steps }) {
      throw Diagnostics(
        "faults",
        "a fault of rank \(late.rank) in step \(late.step), and a run of \(steps) steps from 0; add "
          + "'--steps \(late.step + 1)'", at: faults ?? "")
    }
    options.recovers = recover
    options.spares = try checkedSpares()
    if trace != nil || report != nil { options.probes = try probes(plan) }
    return options
  }

  private func skewed() throws(Diagnostics) -> LoadSource? {
    guard let skew else { return nil }
    do { return try LoadSource(parsing: skew) } catch {
      throw Diagnostics("expert-loads", error.description)
    }
  }

  /// Refuses what a run with tensors on a backend does not do.
  func check(withTensorsOn backend: String) throws(Diagnostics) {
    try GivenFlags.refuse(
      [
        "steps", "routing", "skew", "resample", "device-memory", "uplink", "cluster", "requests",
        "request-count", "input-length", "output-length", "trace", "trace-ranks", "trace-steps",
        "report", "metrics",
      ],
      "is of a run without tensors: leave weights and prompts out, and take '--backend simgpu'")
    if backend == "simgpu" { return }
    try GivenFlags.refuse(
      ["faults", "recover", "spares", "processes"],
      "is of simulated devices; add '--backend simgpu'")
  }

  /// Refuses what another flag would have to be there for, and files that could not be written.
  func checkTogether() throws(Diagnostics) {
    if requests == nil {
      try GivenFlags.refuse(
        ["request-count", "input-length", "output-length"], "is of '--requests', which is not given"
      )
    }
    if trace == nil && report == nil {
      try GivenFlags.refuse(
        ["trace-ranks", "trace-steps"], "is of '--trace' and '--report', and neither is given")
    }
    for path in [trace, report, metrics].compactMap({ $0 }) {
      try Terminal.requireFolder(of: path)
    }
  }

  /// Devices that stand by.
  func checkedSpares() throws(Diagnostics) -> Int {
    if spares < 0 { throw Diagnostics("flag", "'--spares \(spares)'; it is not negative") }
    return spares
  }

  /// What goes wrong in a run of so many steps.
  func schedule(_ plan: Plan, steps: Int) throws(Diagnostics) -> FaultSchedule {
    guard let file = faults else { return FaultSchedule() }
    let ranks = plan.pools.reduce(0) { max($0, $1.firstRank + $1.mesh.ranks) }
    do throws(JSONError) {
      let bytes = try JSONFile.read(file, maxBytes: 1 << 24)
      return try FaultSchedule(
        json: JSONNode(try JSONValue.parse(bytes: bytes)), ranks: ranks, steps: steps)
    } catch {
      throw Diagnostics("faults", error.description, at: error.file == nil ? file : "")
    }
  }

  private func probes(_ plan: Plan) throws(Diagnostics) -> [Int] {
    let most = plan.pools.map(\.mesh.ranks).max() ?? 1
    guard let traceRanks else {
      // Up to eight of each pool, whose ranks count from 0.
      return Set(
        plan.pools.flatMap { pool in (0..<8).map { $0 * (pool.mesh.ranks - 1) / 7 } }
      ).sorted()
    }
    var ranks: [Int] = []
    for part in traceRanks.split(separator: ",") {
      guard let rank = Int(part), rank >= 0, rank < most, ranks.count < 64 else {
        throw Diagnostics(
          "flag", "'\(part)' in '--trace-ranks' is no rank; write up to 64 from 0 to \(most - 1)")
      }
      ranks.append(rank)
    }
    return ranks
  }
}
