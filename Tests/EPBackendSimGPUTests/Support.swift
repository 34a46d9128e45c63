import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPTestSupport

@testable import EPBackendSimGPU

/// What kernels take on the test hardware, from its peaks alone.
func costModel() throws -> CostModel {
  CostModel(
    try SamplePlans.hardware(), calibration: .none)
}

/// A model with experts large enough that where rows go shows in its time.
func wideModel() -> ModelProgram {
  Model("Wide", vocabulary: 4096, hidden: 2048) {
    Embedding()
    Layers(0..<4) {
      Block {
        MultiHeadAttention(
          heads: 16, keyValueHeads: 4, headSize: 128, rope: RotaryEmbedding(theta: 1e4))
      } feedForward: {
        MixtureOfExperts {
          Router(.softmax, topK: 4)
          RoutedExperts(32) { SwiGLU(2048) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program
}

/// The wide model over 16 ranks, 256 tokens each.
func widePlan(ranks: Int = 16) throws -> Plan {
  var request = try SamplePlans.request([(.decode, Mesh(dp: ranks, ep: ranks))])
  request.pools[0].batch = 256
  return try Compiler.compile(Compilation(wideModel(), request))
}

func simulate(_ plan: Plan, _ options: SimulationOptions) throws -> ClusterSimulation {
  let simulation = try ClusterSimulation(plan, model: try costModel(), options: options)
  try simulation.run()
  return simulation
}

/// Popularity of each expert of each layer by rank: the first has the most.
func skewedLoads(layers: Range<Int>, experts: Int) throws -> LoadSource {
  let row = (0..<experts).map { 1e6 / Double($0 + 1) }
  return .measured(try ExpertLoads(rows: layers.map { _ in row }))
}
