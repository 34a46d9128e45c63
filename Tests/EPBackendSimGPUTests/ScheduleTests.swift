import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPTestSupport
import Testing

@testable import EPBackendSimGPU

/// Plans whose schedules interleave micro-batches, simulated as they say.
@Suite struct ScheduleTests {
  /// DeepSeek-V3's and Kimi K2's shapes, published precision.
  static func model(_ name: String) -> ModelProgram {
    let isK2 = name == "Kimi-K2"
    let dense = isK2 ? 1 : 3
    var attention: MultiHeadLatentAttention {
      MultiHeadLatentAttention(
        heads: isK2 ? 64 : 128, queryRank: 1536, keyValueRank: 512, nopeSize: 128, ropeSize: 64,
        valueSize: 128, rope: RotaryEmbedding(theta: 5e4, layout: .interleaved))
    }
    return Model(name, vocabulary: 129_280, hidden: 7168, precision: .fp8) {
      Embedding()
      Layers(0..<dense) {
        Block {
          attention
        } feedForward: {
          SwiGLU(18_432)
        }
      }
      Layers(dense..<61) {
        Block {
          attention
        } feedForward: {
          MixtureOfExperts {
            Router(
              .sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.5,
              limit: isK2 ? nil : GroupLimit(8, kept: 4, score: .topTwoSum))
            SharedExperts(1) { SwiGLU(2048) }
            RoutedExperts(isK2 ? 384 : 256) { SwiGLU(2048) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }.traced().program
  }

  /// One way to run a model.
  struct Way: CustomTestStringConvertible, Sendable {
    var model: String
    var role: Pool.Role
    var mesh: Mesh
    /// Sequences of a data group in decode, tokens in prefill.
    var load: Int
    /// Nil for steps without overlap.
    var microBatches: Int?

    var testDescription: String {
      "\(model) \(role.rawValue) \(mesh), \(load), \(microBatches ?? 0) micro-batches"
    }

    func plan() throws -> Plan {
      var request = try SamplePlans.request([(role, mesh)], memoryGB: 280)
      if role == .decode {
        request.pools[0].batch = load
      } else {
        request.pools[0].tokensPerDevice = load
      }
      request.overlap = microBatches.map { .microBatches($0) } ?? .none
      return try Compiler.compile(Compilation(ScheduleTests.model(model), request))
    }
  }

  static let ways: [Way] = [
    Way(
      model: "DeepSeek-V3", role: .decode, mesh: Mesh(dp: 128, ep: 128), load: 128,
      microBatches: 2),
    Way(model: "DeepSeek-V3", role: .decode, mesh: Mesh(dp: 64, ep: 64), load: 64),
    Way(
      model: "DeepSeek-V3", role: .prefill, mesh: Mesh(dp: 32, ep: 32), load: 16_384,
      microBatches: 3),
    Way(
      model: "DeepSeek-V3", role: .prefill, mesh: Mesh(pp: 2, dp: 16, ep: 16), load: 8192,
      microBatches: 2),
    Way(model: "Kimi-K2", role: .decode, mesh: Mesh(dp: 128, ep: 128), load: 128, microBatches: 2),
    Way(model: "Kimi-K2", role: .prefill, mesh: Mesh(dp: 32, ep: 32), load: 8192, microBatches: 2),
    Way(
      model: "Kimi-K2", role: .prefill, mesh: Mesh(dp: 8, tp: 4, ep: 32), load: 8192,
      microBatches: 1),
  ]

  @Test(arguments: ways) func evenRoutingTakesWhatThePlanSays(way: Way) throws {
    let plan = try way.plan()
    #expect(plan.pools[0].microBatches == way.microBatches ?? 1)
    var options = SimulationOptions(steps: 2, routing: RoutingSource(.mean))
    options.probes = [0]
    let simulation = try simulate(plan, options)
    let outcome = simulation.pools[0].outcome
    #expect(outcome.isScheduled == (way.microBatches != nil))
    // A pipeline's first step also fills it.
    let ratio = outcome.steps[way.mesh.pp > 1 ? 1 : 0].seconds / outcome.predicted
    #expect(abs(ratio - 1) < 0.02, "\(ratio)")

    // A stream does one thing at a time, and micro-batches run side by side where there are several.
    let own = outcome.spans.filter { $0.rank == 0 }
    for stream in ShardedFunction.Stream.allCases {
      let spans = own.filter { $0.stream == stream }.sorted {
        ($0.start, $0.end) < ($1.start, $1.end)
      }
      for (first, second) in zip(spans, spans.dropFirst()) {
        #expect(first.end <= second.start, "\(first) \(second)")
      }
    }
    let crossing = own.contains { span in
      span.stream == .communication
        && own.contains {
          $0.stream == .compute && $0.batch != span.batch && $0.start < span.end
            && span.start < $0.end
        }
    }
    #expect(crossing == (way.microBatches ?? 1 > 1))
  }

  /// Sketches, which are never compiled, run as they were priced.
  @Test(arguments: [OverlapChoice.none, .microBatches(1), .microBatches(2)])
  func sketchesTakeWhatTheyArePriced(overlap: OverlapChoice) throws {
    let program = Self.model("Kimi-K2")
    let mesh = Mesh(dp: 32, ep: 32)
    let request = try SamplePlans.request([(.decode, mesh)])
    let sketcher = try PoolSketcher(program, request)
    let empty = Pool(
      role: .decode, firstRank: 0, mesh: mesh,
      load: Pool.Load(sequences: 64, tokens: 64, context: 4096), activations: .bf16)
    let pool = try sketcher.sketch(
      empty, functions: sketcher.functions(of: empty), slotsPerRank: 12)
    var estimator = StepEstimator(pool, precision: program.precision, model: try costModel())
    let plan = estimator.overlapPlan(overlap)
    estimator.pool = pool.running(plan)
    let outcome = try PoolSimulation.steadyStep(
      estimator, options: SimulationOptions(routing: RoutingSource(.mean)))
    #expect(abs(outcome.stepSeconds / plan.step - 1) < 0.02)
    #expect(outcome.isScheduled == (overlap != .none))
  }

  /// Ways in which ranks do one thing after the other: what a layer's fullest rank and busiest link take
  /// is what the step takes.
  static let skewed: [Way] = [
    Way(model: "Kimi-K2", role: .prefill, mesh: Mesh(dp: 32, ep: 32), load: 1024),
    Way(model: "DeepSeek-V3", role: .prefill, mesh: Mesh(dp: 32, ep: 32), load: 1024),
    Way(model: "Kimi-K2", role: .decode, mesh: Mesh(dp: 32, ep: 32), load: 64),
    Way(
      model: "Kimi-K2", role: .prefill, mesh: Mesh(dp: 32, ep: 32), load: 1024, microBatches: 2),
  ]

  @Test(arguments: skewed, ["zipf:0.5", "zipf:1.0", "lognormal:0.7"])
  func skewIsSlowerByWhatTheEstimateSays(way: Way, skew: String) throws {
    let plan = try way.plan()
    let loads = try LoadSource(parsing: skew)
    func outcome(_ routing: RoutingSource) throws -> PoolOutcome {
      try simulate(plan, SimulationOptions(steps: 2, routing: routing)).pools[0].outcome
    }
    let even = try outcome(RoutingSource(.mean))
    let mean = try outcome(RoutingSource(.mean, loads: loads))
    let drawn = try outcome(RoutingSource(.drawn, loads: loads, seed: 5))
    #expect(mean.balancedness < 0.7 && mean.stepSeconds > even.stepSeconds)
    let (exact, real) = (mean.stepSeconds / mean.predicted, drawn.stepSeconds / drawn.predicted)
    if way.microBatches == nil {
      #expect(abs(exact - 1) < 0.02, "\(exact)")
      #expect(real > 0.94 && real < 1.06, "\(real)")
    } else {
      // Another rank is the fullest in the next layer and works beside this one's on the other
      // micro-batch: an estimate takes them to be the same.
      #expect(exact > 0.7 && exact < 1.02, "\(exact)")
      #expect(real > 0.7 && real < 1.06, "\(real)")
    }
  }

  /// The fullest rank's extra rows show in the step, whatever is overlapped.
  @Test func skewIsSlowerByWhatThePlacementSays() throws {
    let way = Self.ways[4]
    let plan = try way.plan()
    func step(_ source: LoadSource?) throws -> PoolOutcome {
      let options = SimulationOptions(steps: 2, routing: RoutingSource(.mean, loads: source))
      return try simulate(plan, options).pools[0].outcome
    }
    let even = try step(nil)
    let loads = LoadSource.measured(
      try ExpertLoads(
        rows: (1..<61).map { _ in (0..<384).map { 1e6 / Double($0 / 3 + 30) } }, firstLayer: 1))
    let skewed = try step(loads)
    #expect(skewed.balancedness < 0.9)
    // Kernels of experts read weights too, exchanges have latencies: no more than in proportion.
    let fullest = 1 / skewed.balancedness
    #expect(skewed.stepSeconds > even.stepSeconds * 1.02)
    #expect(skewed.stepSeconds < even.stepSeconds * fullest)
    let rows = try #require(skewed.layers.first)
    // Rows are a micro-batch's: half of the sequences, on the fullest rank.
    #expect(Double(rows.mostRows) > 0.95 * 64 * 8 * fullest)
    #expect(Double(rows.mostRows) < 1.05 * 64 * 8 * fullest)
  }
}
