import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPTestSupport

/// A plan for pools of the given meshes.
func compile(
  _ program: ModelProgram, _ pools: [(Pool.Role, Mesh)], redundant: Int? = nil,
  change: (inout CompileRequest) -> Void = { _ in }
) throws -> Plan {
  let requests = pools.map { role, mesh in
    var pool = CompileRequest.PoolRequest(role)
    (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
    pool.redundantExperts = redundant
    return pool
  }
  var request = CompileRequest(hardware: try SamplePlans.hardware(named: "h200"), pools: requests)
  change(&request)
  return try Compiler.compile(Compilation(program, request))
}

/// DeepSeek-V3 as published.
func deepSeekV3() -> ModelProgram {
  var attention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 128, queryRank: 1536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }
  var experts: MixtureOfExperts {
    MixtureOfExperts {
      Router(
        .sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.5,
        limit: GroupLimit(8, kept: 4, score: .topTwoSum))
      SharedExperts(1) { SwiGLU(2048) }
      RoutedExperts(256) { SwiGLU(2048) }
    }
  }
  let model = Model("DeepSeek-V3", vocabulary: 129_280, hidden: 7168, precision: .fp8) {
    Embedding()
    Layers(0..<3) {
      Block {
        attention
      } feedForward: {
        SwiGLU(18432)
      }
    }
    Layers(3..<61) {
      Block {
        attention
      } feedForward: {
        experts
      }
    }
    RMSNorm()
    LanguageModelHead()
    MultiTokenPrediction {
      Block {
        attention
      } feedForward: {
        experts
      }
    }
  }
  return model.traced().program
}

/// Three ways to mix tokens, and no experts.
func mixedAttention() -> ModelProgram {
  func attention(window: Int? = nil) -> MultiHeadAttention {
    MultiHeadAttention(
      heads: 8, keyValueHeads: 2, headSize: 16, rope: RotaryEmbedding(theta: 1e4), window: window)
  }
  let model = Model("Mixed", vocabulary: 256, hidden: 64) {
    Embedding()
    Layers(0..<2) {
      Block {
        attention(window: 128)
      } feedForward: {
        SwiGLU(96)
      }
    }
    Layers(2..<3) {
      Block {
        attention()
      } feedForward: {
        SwiGLU(96)
      }
    }
    Layers(3..<8) {
      Block {
        GatedDeltaNet(keyHeads: 4, valueHeads: 8, keySize: 16, valueSize: 16)
      } feedForward: {
        SwiGLU(96)
      }
    }
    RMSNorm()
    LanguageModelHead()
  }
  return model.traced().program
}
