import EPCost
import EPModel
import EPPlacement
import EPPlan
import Testing

/// A seeded generator, so that failures repeat.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  /// A number whose logarithm is even between those of the ends.
  mutating func size(_ low: Double, _ high: Double) -> Double {
    let share = Double.random(in: 0...1, using: &self)
    var value = low
    // high / low to the power of share, without Foundation: by repeated square roots.
    var factor = high / low
    var rest = share
    for _ in 0..<24 {
      factor = factor.squareRoot()
      rest *= 2
      if rest >= 1 {
        value *= factor
        rest -= 1
      }
    }
    return value.rounded()
  }
}

private let devices = ["h800", "h100", "h200", "h20", "b200", "gb200", "a100", "mi300x"]

@Suite struct PhysicsTests {
  /// Pairs of kernels of which the second does more of the same.
  private func pairs(seed: UInt64) -> [(Kernel, Kernel)] {
    var random = SplitMix(state: seed)
    let more = random.size(2, 64)
    let (rows, n, k) = (random.size(1, 65_536), random.size(128, 65_536), random.size(128, 32_768))
    let format: Precision.Format = seed % 3 == 0 ? .bf16 : .fp8
    func gemm(_ rows: Double) -> Kernel {
      .gemm(Kernel.Gemm(rows: rows, n: n, k: k, format: format))
    }
    let groups = random.size(1, 256)
    let form = Kernel.GroupedGemm.Form.allCases[Int(seed % 3)]
    func grouped(_ rows: Double) -> Kernel {
      .grouped(
        Kernel.GroupedGemm(form: form, groups: groups, rows: rows, n: n, k: k, format: format))
    }
    let (sequences, context) = (random.size(1, 512), random.size(16, 131_072))
    let isLatent = seed % 2 == 0
    func decode(_ context: Double) -> Kernel {
      .decodeAttention(
        isLatent
          ? Kernel.Attention(
            sequences: sequences, queries: 1, context: context, heads: 128, keyHeads: 1,
            keySize: 576, valueSize: 512, sharesKey: true)
          : Kernel.Attention(
            sequences: sequences, queries: 1, context: context, heads: 64, keyHeads: 4,
            keySize: 128, valueSize: 128))
    }
    func prefill(_ context: Double) -> Kernel {
      .prefillAttention(
        Kernel.Attention(
          sequences: 2, queries: context, context: context, heads: 128, keyHeads: 128,
          keySize: 192, valueSize: 128))
    }
    let ranks = [8.0, 12, 16, 24, 32, 72, 128, 144, 256, 320][Int(random.size(1, 10)) - 1]
    func exchange(_ rows: Double, rowBytes: Double = 7392) -> Kernel {
      .exchange(
        Kernel.Exchange(
          isCombine: seed % 2 == 1, isLowLatency: seed % 4 < 2, ranks: ranks, node: 8, rows: rows,
          copies: 8, nodesVisited: min(ranks / 8, 3.5), rowBytes: rowBytes, format: .bf16))
    }
    func collective(_ bytes: Double) -> Kernel {
      .collective(
        Kernel.Collective(
          form: Kernel.Collective.Form.allCases[Int(seed % 4)], ranks: ranks, node: 8,
          bytes: bytes))
    }
    return [
      (gemm(rows), gemm(rows * more)), (grouped(rows), grouped(rows * more)),
      (decode(context), decode(context * more)), (prefill(context), prefill(context * more)),
      (exchange(rows), exchange(rows * more)),
      (exchange(rows), exchange(rows, rowBytes: 7392 * more)),
      (collective(rows), collective(rows * more)),
      (
        .stream(Kernel.Stream(bytes: rows)), .stream(Kernel.Stream(bytes: rows * more))
      ),
    ]
  }

  @Test(arguments: devices)
  func timeGrowsWithTokensAndBytes(device: String) throws {
    let model = try Repository.model(device)
    for seed in 0..<100 as Range<UInt64> {
      for (less, more) in pairs(seed: seed) {
        let (first, second) = (model.time(of: less).value, model.time(of: more).value)
        #expect(second >= first * (1 - 1e-9), "\(less) takes longer than \(more) on \(device)")
      }
    }
  }

  @Test(arguments: devices)
  func timeIsNeverBelowTheRooflineFloor(device: String) throws {
    let model = try Repository.model(device)
    for seed in 0..<100 as Range<UInt64> {
      for (one, other) in pairs(seed: seed) {
        for kernel in [one, other] {
          let time = model.time(of: kernel)
          #expect(time.value >= model.floor(of: kernel))
          #expect(time.lower <= time.value && time.value <= time.upper)
          #expect(time.value.isFinite && time.value > 0 || model.floor(of: kernel) == 0)
        }
      }
    }
  }

  @Test(arguments: ["h800", "h20", "h100"])
  func noTableEndsInACliff(device: String) throws {
    let model = try Repository.model(device)
    var random = SplitMix(state: 7)
    for _ in 0..<16 {
      let (n, k) = (random.size(512, 40_000), random.size(512, 20_000))
      var last: Double?
      var rows = 1.0
      // 3 % more rows may not add more than 6 % of time.
      while rows < 1e6 {
        let time = model.time(
          of: .gemm(Kernel.Gemm(rows: rows, n: n, k: k, format: .fp8))
        ).value
        if let last { #expect(time <= last * 1.06, "at \(rows) x \(n) x \(k)") }
        last = time
        rows *= 1.03
      }
    }
    for ranks in [8.0, 32, 64, 128, 320] {
      var last: Double?
      var rows = 1.0
      while rows < 1e5 {
        let time = model.time(
          of: .exchange(
            Kernel.Exchange(
              isCombine: false, isLowLatency: true, ranks: ranks, node: 8, rows: rows, copies: 8,
              nodesVisited: 3, rowBytes: 7392, format: .fp8))
        ).value
        if let last { #expect(time <= last * 1.06, "at \(rows) rows of \(ranks) ranks") }
        last = time
        rows *= 1.03
      }
    }
  }

  @Test func tableHitsAreMeasuredAndEqualTheTable() throws {
    let model = try Repository.model("h800")
    let hit = model.time(of: .gemm(Kernel.Gemm(rows: 8192, n: 24_576, k: 1536, format: .fp8)))
    #expect(hit.provenance == .measured)
    #expect(abs(hit.value - 469.575e-6) < 1e-9)
    #expect(hit.source.contains("InferSim"))
    let between = model.time(of: .gemm(Kernel.Gemm(rows: 6000, n: 24_576, k: 1536, format: .fp8)))
    #expect(between.provenance == .interpolated)
    let beyond = model.time(of: .gemm(Kernel.Gemm(rows: 1e6, n: 24_576, k: 1536, format: .fp8)))
    #expect(beyond.provenance == .extrapolated)
    #expect(beyond.upper / beyond.value > between.upper / between.value)
    let other = try Repository.model("h200").time(
      of: .gemm(Kernel.Gemm(rows: 8192, n: 24_576, k: 1536, format: .fp8)))
    #expect(other.provenance == .extrapolated)
    let alone = CostModel(model.hardware, calibration: .none).time(
      of: .gemm(Kernel.Gemm(rows: 8192, n: 24_576, k: 1536, format: .fp8)))
    #expect(alone.provenance == .derived)
    let exchange = Kernel.Exchange(
      isCombine: false, isLowLatency: true, ranks: 128, node: 8, rows: 128, copies: 8,
      nodesVisited: 4, rowBytes: Kernel.Exchange.rowBytes(hidden: 7168, format: .fp8),
      format: .fp8)
    #expect(model.time(of: .exchange(exchange)).provenance == .measured)
  }

  @Test func attentionDoesNotDependOnExpertParallelism() throws {
    let model = try Repository.model("h200")
    var times: Set<Double> = []
    for ep in [8, 16, 32, 64] {
      let plan = try compiledV3(
        .decode, cluster: Cluster(model.hardware, devices: ep), ep: ep, batch: 32)
      let estimate = StepEstimator(plan.pools[0], precision: .fp8, model: model).estimate()
      for call in estimate.stages.joined() where !call.layers.isEmpty {
        times.insert(call.time(of: .attention).value)
      }
    }
    #expect(times.count == 1)
  }

  @Test func v3HasThreeDenseLayersAndFiftyEightOfExperts() throws {
    let model = try Repository.model("h200")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 32), ep: 32, batch: 32)
    let estimate = StepEstimator(plan.pools[0], precision: .fp8, model: model).estimate()
    var (dense, experts) = (0, 0)
    for call in estimate.stages.joined() where !call.layers.isEmpty {
      if call.parts.contains(where: { $0.part == .experts }) {
        experts += call.calls
      } else {
        dense += call.calls
      }
    }
    #expect(dense == 3 && experts == 58)
    let layers = estimate.stages.joined().reduce(0) { $0 + Double($1.calls) * $1.serial.value }
    #expect(abs(layers - estimate.serial.value) < 1e-9)
  }

  @Test func weightsOfExpertsAreCountedBySlots() throws {
    let model = try Repository.model("h200")
    var bytes: [Int: Double] = [:]
    for redundant in [0, 32] {
      let plan = try compiledV3(
        .decode, cluster: Cluster(model.hardware, devices: 32), ep: 32, batch: 256,
        redundant: redundant)
      #expect(plan.pools[0].placements[0].slotsPerRank == 8 + redundant / 32)
      let estimate = StepEstimator(plan.pools[0], precision: .fp8, model: model).estimate()
      for call in estimate.stages.joined() {
        for operation in call.operations {
          guard case .grouped(let gemm) = operation.kernel, gemm.form == .masked else { continue }
          bytes[redundant, default: 0] += gemm.groups * gemm.n * gemm.k
        }
      }
    }
    let (plain, redundant) = (try #require(bytes[0]), try #require(bytes[32]))
    #expect(abs(plain - 8 * 3 * 7168 * 2048) < 1e-3 * plain)
    #expect(abs(redundant / plain - 9.0 / 8) < 1e-3)
  }

  @Test func theBusiestRankSetsExpertsAndLinks() throws {
    let model = try Repository.model("h200")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 32), ep: 32, batch: 128)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    func layer() throws -> FunctionEstimate {
      let calls = estimator.estimate().stages.joined()
      return try #require(calls.first { $0.layers.contains(10) })
    }
    let even = try layer()
    var loads = Array(repeating: 1.0, count: 256)
    for expert in 0..<8 { loads[expert] = 3 }
    estimator.loads = try ExpertLoads(rows: [loads], layers: [10])
    let skewed = try layer()
    #expect(skewed.layers == [10])
    #expect(skewed.time(of: .experts).value > even.time(of: .experts).value)
    #expect(skewed.time(of: .dispatch).value > 1.3 * even.time(of: .dispatch).value)
    #expect(skewed.time(of: .attention) == even.time(of: .attention))
    #expect(estimator.estimate().stages.joined().reduce(0) { $0 + $1.layers.count } == 61)
  }

  @Test func nodeLimitedRoutingVisitsFewerNodes() {
    // DeepSeek-V3 on 32 devices: 4 (1 - C(6,4) / C(8,4)) = 3.14.
    let limited = NodeVisits.expected(nodes: 4, experts: 256, topK: 8, groups: 8, kept: 4)
    #expect(abs(limited - 4 * (1 - 15.0 / 70)) < 1e-12)
    let free = NodeVisits.expected(nodes: 4, experts: 256, topK: 8)
    #expect(free > limited && free < 4)
    #expect(NodeVisits.expected(nodes: 8, experts: 256, topK: 8, groups: 8, kept: 4) == 4)
    #expect(NodeVisits.expected(nodes: 32, experts: 256, topK: 8, groups: 8, kept: 4) <= 8)
    #expect(NodeVisits.expected(nodes: 1, experts: 256, topK: 8) == 1)
  }
}
