import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan

/// A device with 8 in a node, of which tests need no more than the memory.
func hardware(memoryGB: Int = 141) throws -> Hardware {
  let text = """
    {"name": "h200", "label": "H200", "devices_per_node": 8, "memory_gb": \(memoryGB),
     "memory_tb_per_s": 4.8, "peak_tflops": {"bf16": 989}, "scale_up_gb_per_s": 450,
     "scale_out_gb_per_s": 50, "source": "test"}
    """
  return try Hardware(json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))))
}

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
  var request = CompileRequest(hardware: try hardware(), pools: requests)
  change(&request)
  return try Compiler.compile(Compilation(program, request))
}

/// A DeepSeek-V3-shaped model small enough to read.
func tinyDeepSeek(named name: String = "Tiny") -> ModelProgram {
  var attention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 8, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }
  let model = Model(name, vocabulary: 256, hidden: 64) {
    Embedding()
    Layers(0..<1) {
      Block {
        attention
      } feedForward: {
        SwiGLU(96)
      }
    }
    Layers(1..<4) {
      Block {
        attention
      } feedForward: {
        MixtureOfExperts {
          Router(
            .sigmoid, topK: 4, correctionBias: true, normalized: true, scale: 2.5,
            limit: GroupLimit(4, kept: 2, score: .topTwoSum))
          SharedExperts(1) { SwiGLU(16) }
          RoutedExperts(16) { SwiGLU(16) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
    MultiTokenPrediction {
      Block {
        attention
      } feedForward: {
        SwiGLU(16)
      }
    }
  }
  return model.traced().program
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
