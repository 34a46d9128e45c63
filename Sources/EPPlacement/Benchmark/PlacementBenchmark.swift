internal import EPJSON

/// Compares this module with recorded results: `results.json`, `drift.json`, `perbatch.json` and the
/// loads they were made from, in one folder.
public struct PlacementBenchmark: Sendable {
  /// One of the recorded configurations.
  struct Configuration: Sendable {
    var file: String
    var model: String
    var distribution: String
    var ranks: Int
    var replicas: Int
    var nodes: Int
    var groups: Int
    /// Balance by the recorded balancer's name; hierarchical ones too.
    var recorded: [(name: String, balance: Double)]
    var recordedBound: Double

    /// The best recorded balance.
    var best: Double { recorded.reduce(0) { max($0, $1.balance) } }
  }

  /// What was found for a configuration.
  public struct Result: Hashable, Sendable {
    /// Model, load, ranks and slots.
    public var name: String
    /// Mean balance of the layers.
    public var balance: Double
    /// The best recorded balance.
    public var recorded: Double
    /// What the bounds allow on average.
    public var bound: Double
    /// Seconds for all layers.
    public var seconds: Double
    /// Processor seconds for all layers, on all threads together.
    public var processorSeconds: Double
  }

  /// The text of the report so far.
  private(set) var text = ""
  /// The configurations.
  public private(set) var results: [Result] = []
  let folder: String
  let threads: Int

  /// A table of the report.
  public enum Part: String, Hashable, Sendable, CaseIterable {
    case configurations, drift, batches
  }

  /// Runs parts, or everything, with what is in the folder, and gives the tables.
  public static func run(
    folder: String, parts: [Part] = Part.allCases, threads: Int = 2
  ) throws(PlacementError) -> String {
    var benchmark = PlacementBenchmark(folder: folder, threads: threads)
    for part in parts {
      switch part {
      case .configurations: try benchmark.runConfigurations()
      case .drift: try benchmark.runDrift()
      case .batches: try benchmark.runBatches()
      }
    }
    return benchmark.text
  }

  /// Prepares a run.
  public init(folder: String, threads: Int = 2) {
    self.folder = folder
    self.threads = threads
  }

  /// Places every recorded configuration.
  public mutating func runConfigurations() throws(PlacementError) {
    var known: (file: String, loads: ExpertLoads)?
    var table = TextTable(columns: [
      "model", "load", "ranks", "slots", "greedy", "SGLang", "swap", "ours", "bound",
      "recorded bound",
      "gap", "ms", "CPU ms", "hier. recorded", "ours hier.",
    ])
    let configurations = try read("results.json", PlacementBenchmark.configuration)
    for item in configurations {
      if known?.file != item.file {
        known = (item.file, try ExpertLoads(file: "\(folder)/\(item.file)"))
      }
      guard let loads = known?.loads else { continue }
      let shape = try PlacementShape(
        experts: loads.experts, redundant: item.replicas - loads.experts, ranks: item.ranks,
        nodes: item.nodes, groups: item.groups)
      let (balance, bound, seconds, processor) = try measure(shape, .global, loads)
      let recorded = { (name: String) in
        item.recorded.first { $0.name == name }.map { fixed($0.balance, 4) } ?? "-"
      }
      var hierarchical = "-"
      if recorded("deepseek_hier") != "-" && shape.canKeepGroups {
        hierarchical = fixed(try measure(shape, .hierarchical, loads).0, 4)
      }
      table.add([
        item.model, item.distribution, "\(item.ranks)", "\(item.replicas)",
        recorded("deepseek_global"), recorded("sglang_vec"), recorded("greedy+swap"),
        fixed(balance, 4), fixed(bound, 4), fixed(item.recordedBound, 4),
        fixed((1 - balance / bound) * 100, 2) + " %", fixed(seconds * 1000, 0),
        fixed(processor * 1000, 0),
        recorded("deepseek_hier"), hierarchical,
      ])
      results.append(
        Result(
          name: "\(item.model) \(item.distribution) \(item.ranks)/\(item.replicas)",
          balance: balance, recorded: item.best, bound: bound, seconds: seconds,
          processorSeconds: processor))
    }
    text += "Configurations: mean over layers of mean/max rank load, replicas sharing evenly\n"
    text += table.text
    let gaps = results.map { 1 - $0.balance / $0.bound }
    let below = results.filter { $0.balance < $0.recorded - 1e-9 }.count
    let slowest = results.map(\.seconds).max() ?? 0
    text +=
      "\(results.count) configurations, \(below) below the best recorded; gap to the bound "
      + "\(fixed(gaps.reduce(0, +) / Double(max(gaps.count, 1)) * 100, 3)) % on average, "
      + "\(fixed((gaps.max() ?? 0) * 100, 2)) % at most; slowest \(fixed(slowest * 1000, 0)) ms, "
      + "most processor time \(fixed((results.map(\.processorSeconds).max() ?? 0) * 1000, 0)) ms\n\n"
  }

  /// Mean balance, mean bound and the best time of three runs.
  private func measure(
    _ shape: PlacementShape, _ mode: ExpertBalancer.Mode, _ loads: ExpertLoads
  ) throws(PlacementError) -> (Double, Double, Double, Double) {
    let balancer = try ExpertBalancer(shape: shape, mode: mode, threads: threads)
    var seconds = Double.infinity
    var processor = Double.infinity
    var placed: [LayerPlacement] = []
    for _ in 0..<3 {
      let start = now()
      let used = processorTime()
      placed = try balancer.place(loads)
      seconds = min(seconds, now() - start)
      processor = min(processor, processorTime() - used)
    }
    let count = Double(placed.count)
    return (
      placed.reduce(0) { $0 + $1.balance } / count,
      placed.reduce(0) { $0 + $1.balanceBound } / count, seconds, processor
    )
  }

  /// Adds a table to the report.
  mutating func add(_ title: String, _ table: TextTable) {
    text += title + "\n" + table.text + "\n"
  }

  /// Reads a JSON array of the folder.
  func read<T>(
    _ name: String, _ element: (JSONNode) throws(JSONError) -> T
  ) throws(PlacementError) -> [T] {
    do throws(JSONError) {
      let root = JSONNode(try JSONValue.parse(bytes: try JSONFile.read("\(folder)/\(name)")))
      var result: [T] = []
      for node in try root.array() { result.append(try element(node)) }
      return result
    } catch {
      throw .document(source: name, reason: error.description)
    }
  }

  private static func configuration(_ node: JSONNode) throws(JSONError) -> Configuration {
    var recorded: [(String, Double)] = []
    for name in ["deepseek_global", "deepseek_hier", "vllm_global", "sglang_vec", "greedy+swap"] {
      if let entry = try node.optional(name) {
        recorded.append((name, try entry["bal"].double()))
      }
    }
    return Configuration(
      file: try node["file"].string(), model: try node["model"].string(),
      distribution: try node["dist"].string(), ranks: try node["gpus"].int(in: 1...100_000),
      replicas: try node["replicas"].int(in: 1...1_000_000),
      nodes: try node.optional("nodes")?.int(in: 1...100_000) ?? 1,
      groups: try node.optional("groups")?.int(in: 1...100_000) ?? 1, recorded: recorded,
      recordedBound: try node["upper_bound_bal"].double())
  }
}
