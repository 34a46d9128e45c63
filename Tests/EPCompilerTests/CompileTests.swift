import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import Testing

func hardware(memoryGB: Int = 141) throws -> Hardware {
  let text = """
    {"name": "test", "label": "Test", "devices_per_node": 8, "memory_gb": \(memoryGB),
     "memory_tb_per_s": 4.8, "peak_tflops": {"bf16": 989}, "scale_up_gb_per_s": 450,
     "scale_out_gb_per_s": 50, "source": "test"}
    """
  return try Hardware(json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))))
}

func tinyDeepSeek() -> ModelProgram {
  var attention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 8, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }
  let model = Model("Tiny", vocabulary: 256, hidden: 64) {
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

@Suite struct CompileTests {
  @Test(arguments: [
    Mesh(), Mesh(dp: 4, ep: 4), Mesh(dp: 2, tp: 2, ep: 4), Mesh(tp: 4, ep: 1),
    Mesh(dp: 2, tp: 4, ep: 2), Mesh(pp: 2, dp: 2, tp: 2, ep: 4), Mesh(dp: 8, ep: 2),
    Mesh(dp: 2, tp: 4, ep: 4),
  ])
  func plansVerifyAndSurviveJSON(mesh: Mesh) throws {
    for role in Pool.Role.allCases {
      var pool = CompileRequest.PoolRequest(role)
      (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
      let request = CompileRequest(hardware: try hardware(), pools: [pool])
      let plan = try Compiler.compile(Compilation(tinyDeepSeek(), request))
      #expect(plan.pools[0].mesh == mesh)
      let bytes = try plan.serialized()
      let again = try Plan(bytes: bytes)
      #expect(again == plan)
      #expect(try again.serialized() == bytes)
    }
  }
}
