import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import Testing

/// What holds of a step whatever the model, the hardware, the phase and the size.
@Suite struct GridTests {
  /// A model of Qwen3's kind: grouped queries, experts, none of them shared.
  private static func grouped() -> ModelProgram {
    let model = Model("Grouped", vocabulary: 151_936, hidden: 4096, precision: .bf16) {
      Embedding()
      Layers(0..<4) {
        Block {
          MultiHeadAttention(
            heads: 64, keyValueHeads: 4, headSize: 128, rope: RotaryEmbedding(theta: 1e6))
        } feedForward: {
          MixtureOfExperts {
            Router(.softmax, topK: 8, normalized: true)
            RoutedExperts(128) { SwiGLU(1536) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
    return model.traced().program
  }

  /// A pool of a model, compiled once: steps of any size are estimated of it.
  private struct Point: Sendable {
    var model: String
    var role: Pool.Role
    var ep: Int
    var pool: Pool
    var precision: Precision
  }

  private static let points = Result {
    let hardware = try Repository.model("b200").hardware
    var points: [Point] = []
    for program in [deepSeekV3(), grouped()] {
      for role in [Pool.Role.decode, .prefill] {
        for ep in [8, 32] {
          var request = CompileRequest.PoolRequest(role)
          (request.dp, request.tp, request.ep, request.pp) = (ep, 1, ep, 1)
          if role == .decode { request.batch = 8 } else { request.tokensPerDevice = 1024 }
          var all = CompileRequest(hardware: hardware, pools: [request])
          all.cluster = Cluster(hardware, devices: ep)
          all.context = 1024
          let plan = try Compiler.compile(Compilation(program, all))
          points.append(
            Point(
              model: program.name, role: role, ep: ep, pool: plan.pools[0],
              precision: program.precision))
        }
      }
    }
    return points
  }

  private static let devices = ["h800", "h20", "h100", "b200", "gb200", "a100", "mi300x"]

  private func estimate(
    _ point: Point, _ model: CostModel, sequences: Double, context: Double
  ) -> StepEstimate {
    var estimator = StepEstimator(point.pool, precision: point.precision, model: model)
    estimator.step =
      point.role == .prefill
      ? StepShape(prompts: sequences * 128, length: context, read: context)
      : StepShape(isPrefill: false, sequences: sequences, tokens: sequences, context: context)
    return estimator.estimate()
  }

  private func seconds(_ estimate: StepEstimate, _ part: OpEstimate.Part) -> Double {
    estimate.stages.joined().reduce(0) {
      $0 + $1.time(of: part).value * Double(max($1.layers.count, 1))
    }
  }

  @Test(arguments: devices)
  func stepsAreAboveTheirFloorsAndGrow(device: String) throws {
    let model = try Repository.model(device)
    for point in try Self.points.get() {
      var last: StepEstimate?
      for sequences in [2.0, 16, 128, 1024] {
        let estimate = estimate(point, model, sequences: sequences, context: 4096)
        let place = "\(point.model) \(point.role) ep\(point.ep) on \(device), \(sequences)"
        for operation in estimate.stages.joined().flatMap(\.operations) {
          #expect(operation.time.value >= operation.floor, "\(operation.name): \(place)")
        }
        if let last {
          // Eight times as much takes longer, and no more than eight times as long.
          #expect(estimate.serial.value > last.serial.value, "\(place)")
          #expect(estimate.serial.value < 8.5 * last.serial.value, "\(place)")
        }
        last = estimate
      }
      let near = estimate(point, model, sequences: 64, context: 1024)
      let far = estimate(point, model, sequences: 64, context: 65_536)
      #expect(seconds(far, .attention) > seconds(near, .attention))
      #expect(seconds(far, .experts) == seconds(near, .experts))
    }
  }

  @Test(arguments: devices)
  func attentionIsThatOfFewerExpertRanks(device: String) throws {
    let model = try Repository.model(device)
    let points = try Self.points.get()
    for point in points where point.ep == 8 {
      let other = try #require(
        points.first { $0.model == point.model && $0.role == point.role && $0.ep == 32 })
      for sequences in [8.0, 64, 512] {
        let (few, many) = (
          estimate(point, model, sequences: sequences, context: 2048),
          estimate(other, model, sequences: sequences, context: 2048)
        )
        #expect(seconds(few, .attention) == seconds(many, .attention))
        // A rank of more has a quarter of the slots, and as many rows: less to read from memory, which
        // is what few rows take.
        if point.role == .decode && sequences <= 64 {
          #expect(seconds(many, .experts) < seconds(few, .experts))
        }
      }
    }
  }
}
