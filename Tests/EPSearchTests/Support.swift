import EPCost
import EPIR
import EPModel
import EPSearch

enum Repository {
  /// The checkout, three folders above this file.
  static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
  static let catalog = HardwareCatalog(folders: [root + "/plugins/hardware"])
  static let calibration = Result { try Calibration(catalog: catalog) }

  static func cost(_ name: String) throws -> CostModel {
    CostModel(try catalog.hardware(named: name), calibration: try calibration.get())
  }
}

/// A small model of DeepSeek-V3's kind, with an MTP depth.
func smallModel() -> ModelProgram {
  var attention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 32, queryRank: 768, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }
  var mixture: MixtureOfExperts {
    MixtureOfExperts {
      Router(.sigmoid, topK: 4, correctionBias: true, normalized: true, scale: 2.5)
      SharedExperts(1) { SwiGLU(1024) }
      RoutedExperts(32) { SwiGLU(1024) }
    }
  }
  let model = Model("Small", vocabulary: 32_000, hidden: 2048, precision: .fp8) {
    Embedding()
    Layers(0..<1) {
      Block {
        attention
      } feedForward: {
        SwiGLU(8192)
      }
    }
    Layers(1..<16) {
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
    RMSNorm()
    LanguageModelHead()
    MultiTokenPrediction(depth: 1) {
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
  }
  return model.traced().program
}

/// A problem with a space small enough to work out every point of it.
func smallProblem(_ hardware: String = "h200", devices: Int = 3) throws -> SearchProblem {
  let cost = try Repository.cost(hardware)
  var problem = SearchProblem(
    smallModel(), cluster: Cluster(cost.hardware, devices: devices), cost: cost,
    promptLength: 2000, outputLength: 500)
  problem.space.devices = [1, 2]
  problem.space.tensor = [1, 2]
  problem.space.pipeline = [1]
  problem.space.extraSlots = [0]
  problem.space.sequences = [1, 16, 256]
  problem.space.prefillTokens = [1024, 8192]
  problem.space.chunks = [64, 512]
  return problem
}
