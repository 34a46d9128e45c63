import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan

enum Repository {
  /// The checkout, three folders above this file.
  static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
  static let catalog = HardwareCatalog(folders: [root + "/plugins/hardware"])
  static let calibration = Result { try Calibration(catalog: catalog) }

  static func model(_ name: String) throws -> CostModel {
    CostModel(try catalog.hardware(named: name), calibration: try calibration.get())
  }
}

/// DeepSeek-V3 in its published precision.
func deepSeekV3() -> ModelProgram {
  var attention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 128, queryRank: 1536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }
  let model = Model("DeepSeek-V3", vocabulary: 129_280, hidden: 7168, precision: .fp8) {
    Embedding()
    Layers(0..<3) {
      Block {
        attention
      } feedForward: {
        SwiGLU(18_432)
      }
    }
    Layers(3..<61) {
      Block {
        attention
      } feedForward: {
        MixtureOfExperts {
          Router(
            .sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.5,
            limit: GroupLimit(8, kept: 4, score: .topTwoSum))
          SharedExperts(1) { SwiGLU(2048) }
          RoutedExperts(256) { SwiGLU(2048) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
  }
  return model.traced().program
}

/// A compiled pool of DeepSeek-V3.
func compiledV3(
  _ role: Pool.Role, cluster: Cluster, ep: Int, tp: Int = 1, batch: Int? = nil,
  tokens: Int? = nil, context: Int = 4096, redundant: Int = 0
) throws -> Plan {
  var pool = CompileRequest.PoolRequest(role)
  (pool.dp, pool.tp, pool.ep, pool.pp) = (ep / tp, tp, ep, 1)
  pool.batch = batch
  pool.tokensPerDevice = tokens
  pool.redundantExperts = redundant
  var request = CompileRequest(hardware: cluster.hardware, pools: [pool])
  request.cluster = cluster
  request.context = context
  return try Compiler.compile(Compilation(deepSeekV3(), request))
}
