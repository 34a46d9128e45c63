import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import Foundation
import Testing

@Suite struct ValidationTests {
  static let layers = Result {
    let path = Repository.root + "/benchmarks/layers.csv"
    return try MeasuredLayer.read(
      csv: Array(Data(contentsOf: URL(fileURLWithPath: path))), named: path)
  }

  static func predicted(_ layer: MeasuredLayer) throws -> FunctionEstimate {
    let model = try Repository.model(layer.hardware)
    let plan = try compiledV3(
      layer.role, cluster: Cluster(model.hardware, devices: layer.expertRanks),
      ep: layer.expertRanks, batch: layer.role == .decode ? 64 : nil,
      tokens: layer.role == .prefill ? 8192 : nil, redundant: layer.redundantExperts)
    return try #require(layer.estimate(of: plan.pools[0], precision: .fp8, on: model))
  }

  /// DeepSeek's own two layers, part by part, and the whole of each. The others are in docs/validation.md.
  @Test(arguments: 0..<2) func partsOfDeepSeeksLayersAreWithin15Percent(index: Int) throws {
    let layer = try Self.layers.get()[index]
    #expect(layer.name.hasPrefix("DeepSeek"))
    let rows = LayerComparison.all(layer, try Self.predicted(layer))
    #expect(rows.count == 8)
    for row in rows { #expect(abs(row.error) < 0.15, "\(row.layer), \(row.part)") }
  }

  @Test(arguments: [
    "layer\n", "a,h800\n",
    "a,m,h800,decode,x,0,1,1,1,1,yes,gemm,1,no,s\n", "a,m,h800,both,8,0,1,1,1,1,yes,gemm,1,no,s\n",
    "a,m,h800,decode,8,0,1,1,1,1,yes,sleep,1,no,s\n",
  ])
  func badLayerFilesAreRefused(row: String) {
    let header =
      "layer,model,hardware,phase,ep,redundant,sequences,tokens,context,micro_batches,overlapped,part,us,"
      + "fit,source\n"
    #expect(throws: Diagnostics.self) {
      try MeasuredLayer.read(csv: Array((row == "layer\n" ? row : header + row).utf8), named: "f")
    }
  }

  /// SGLang's published throughput of DeepSeek-V3 on H100 (lm-sys blog 2025-05-05), a node of eight:
  /// none of it was used in a fit. The balancedness is the blog's own, 0.80 and 0.81.
  static let cases: [(role: Pool.Role, size: Int, overlap: OverlapChoice, tokens: Double)] = [
    (.decode, 256, .microBatches(2), 22_282), (.decode, 256, .none, 17_777),
    (.decode, 64, .microBatches(2), 10_360), (.decode, 64, .none, 11_154),
    (.decode, 8, .microBatches(2), 1_472), (.decode, 8, .none, 2_440),
    (.decode, 2, .microBatches(2), 426), (.decode, 2, .none, 678),
    (.prefill, 16_384, .microBatches(2), 50_302), (.prefill, 8192, .none, 36_163),
  ]

  static func predicted(_ index: Int) throws -> PoolEstimate {
    let (role, size, overlap, _) = cases[index]
    let model = try Repository.model("h100")
    let isDecode = role == .decode
    let ep = isDecode ? 72 : 32
    let plan = try compiledV3(
      role, cluster: Cluster(model.hardware, devices: ep), ep: ep, batch: isDecode ? size : nil,
      tokens: isDecode ? nil : size, context: isDecode ? 2000 : 4096, redundant: 32)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.assumedBalancedness = isDecode ? 0.81 : 0.80
    return estimator.poolEstimate(overlap: overlap, multiprocessors: [24])
  }

  static func throughputTable() throws -> String {
    var text = "| phase | a device | overlap | predicted (tokens/s, 8 devices) | 90 % | measured "
    text += "| error |\n|---|---|---|--:|--:|--:|--:|\n"
    for (index, row) in cases.enumerated() {
      let rate = try predicted(index).throughput.scaled(by: 8)
      func number(_ value: Double) -> String { String(format: "%.0f", value) }
      text +=
        "| \(row.role.rawValue) | \(row.size) \(row.role == .decode ? "sequences" : "tokens") "
      text += "| \(row.overlap.text) | \(number(rate.value)) "
      text += "| \(number(rate.lower)) - \(number(rate.upper)) | \(number(row.tokens)) "
      text += String(format: "| %+.0f %% |\n", (rate.value / row.tokens - 1) * 100)
    }
    return text
  }

  @Test func theDocumentHasTheFieldsOfTheCommand() throws {
    for (index, own) in [(0, "tpot_ms"), (8, "ttft_ms")] {
      guard case .object(let fields) = try Self.predicted(index).document else {
        Issue.record("no object")
        return
      }
      let names = fields.map(\.name)
      for name in [
        "tokens_per_second_per_gpu", "step_ms", own, "interval", "exposed_communication",
        "balancedness", "memory_gib", "provenance",
      ] {
        #expect(names.contains(name), "\(name)")
      }
    }
  }

  @Test func draftsAreWorthWhatIsAccepted() throws {
    let model = try Repository.model("h800")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 128), ep: 128, batch: 64)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.step.tokens *= 2
    let half = estimator.poolEstimate(overlap: .microBatches(2), drafts: 1, acceptance: 0.5)
    let all = estimator.poolEstimate(overlap: .microBatches(2), drafts: 1, acceptance: 1)
    #expect(half.step == all.step)
    #expect(abs(all.throughput.value / half.throughput.value - 2 / 1.5) < 1e-9)
    let priced = estimator.poolEstimate(overlap: OverlapChoice.none, dollarsPerHour: 3.6)
    let cost = try #require(priced.dollarsPerMillionTokens)
    #expect(abs(cost - 1000 / priced.throughput.value) < 1e-9 * cost)
  }

  @Test func twoBatchesPayOnlyWhereTheyDid() throws {
    for index in stride(from: 0, to: 8, by: 2) {
      let measured = Self.cases[index].tokens > Self.cases[index + 1].tokens
      let predicted =
        try Self.predicted(index).throughput.value > Self.predicted(index + 1).throughput.value
      #expect(predicted == measured, "\(Self.cases[index].size) sequences a device")
    }
  }

  @Test(arguments: cases.indices) func throughputIsWithin15Percent(index: Int) throws {
    let rate = try Self.predicted(index).throughput.value * 8
    #expect(abs(rate / Self.cases[index].tokens - 1) < 0.15)
  }

  /// Ant's DeepSeek-R1 decode on H20 (lm-sys blog 2025-09-26), tokens a second and device by
  /// sequences a device: two drafted tokens checked a step, of which 1.85 are kept, fp8 attention.
  static let crossover: [(sequences: Int, ep16: Double, ep32: Double)] = [
    (56, 745, 655), (40, 685, 611), (28, 638, 556), (20, 538, 491), (12, 376, 383), (4, 153, 170),
  ]

  static func predicted(sequences: Int, ep: Int) throws -> Figure {
    let model = try Repository.model("h20")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: ep), ep: ep, batch: sequences,
      context: 4864)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.step.tokens *= 2
    estimator.attentionFormat = .fp8
    estimator.assumedBalancedness = 0.75
    return estimator.poolEstimate(overlap: OverlapChoice.none, drafts: 1, acceptance: 0.85)
      .throughput
  }

  static func crossoverTable() throws -> String {
    var text =
      "| sequences | EP16 predicted | measured | error | EP32 predicted | measured | error |\n"
    text += "|--:|--:|--:|--:|--:|--:|--:|\n"
    for row in crossover {
      text += "| \(row.sequences) "
      for (ep, measured) in [(16, row.ep16), (32, row.ep32)] {
        let rate = try predicted(sequences: row.sequences, ep: ep).value
        text += String(
          format: "| %.0f | %.0f | %+.0f %% ", rate, measured, (rate / measured - 1) * 100)
      }
      text += "|\n"
    }
    return text
  }

  @Test func expertsOverMoreDevicesPayForSmallBatchesOnH20() throws {
    for row in Self.crossover where row.sequences >= 28 || row.sequences <= 12 {
      let narrow = try Self.predicted(sequences: row.sequences, ep: 16).value
      let wide = try Self.predicted(sequences: row.sequences, ep: 32).value
      #expect((narrow > wide) == (row.ep16 > row.ep32), "\(row.sequences) sequences")
    }
  }

  /// The generated parts of docs/cost.md; `EPC_UPDATE_GOLDENS=1` writes them.
  @Test func documentationHoldsTheTables() throws {
    let path = Repository.root + "/docs/cost.md"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var made = text
    let layer = try Self.predicted(try #require(Self.layers.get().first))
    let sections = [
      ("fits", try Repository.calibration.get().report), ("throughput", try Self.throughputTable()),
      ("crossover", try Self.crossoverTable()),
      ("explain", "```\n" + layer.explanation + "```\n"),
    ]
    for (name, content) in sections {
      let parts = made.components(separatedBy: "<!-- \(name) -->\n")
      try #require(parts.count == 3, "two markers of '\(name)'")
      made = parts[0] + "<!-- \(name) -->\n" + content + "<!-- \(name) -->\n" + parts[2]
    }
    if ProcessInfo.processInfo.environment["EPC_UPDATE_GOLDENS"] == "1" {
      try made.write(toFile: path, atomically: true, encoding: .utf8)
    } else {
      #expect(made == text, "docs/cost.md is out of date; EPC_UPDATE_GOLDENS=1 makes it again")
    }
  }
}
