import EPIR
import EPJSON
import EPModel
import Testing

func tinyModel() -> Model {
  Model("Tiny", vocabulary: 64, hidden: 32) {
    Embedding()
    Layers(0..<4) { layer in
      Block {
        if layer == 3 {
          MultiHeadLatentAttention(
            heads: 4, queryRank: 12, keyValueRank: 8, nopeSize: 8, ropeSize: 4, valueSize: 8,
            rope: .init(theta: 1e4, layout: .interleaved))
        } else {
          LightningAttention(heads: 4, headSize: 8)
        }
      } feedForward: {
        MixtureOfExperts {
          Router(.sigmoid, topK: 2, correctionBias: true, normalized: true, scale: 2.5)
          SharedExperts(1) { SwiGLU(16) }
          RoutedExperts(8) { SwiGLU(16) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
    MultiTokenPrediction {
      Block {
        LightningAttention(heads: 4, headSize: 8)
      } feedForward: {
        SwiGLU(16)
      }
    }
  }
}

@Suite struct RoundTripTests {
  @Test func programsSurviveJSON() throws {
    let traced = tinyModel().traced()
    #expect(traced.diagnostics.isEmpty)
    let value = try JSONValue.parse(bytes: Array(traced.program.document.json.utf8))
    let read = try ModelProgram(json: JSONNode(value))
    #expect(read == traced.program)
    #expect(read.document.json == traced.program.document.json)
  }

  @Test func functionsSurviveText() throws {
    for function in tinyModel().traced().program.functions {
      let text = function.text()
      let read = try Function(parsing: text)
      #expect(read == function)
      #expect(read.text() == text)
      try read.verify()
    }
  }

  @Test func lightningLayersShareAFunctionAndDifferInConstants() throws {
    let program = tinyModel().traced().program
    let function = program.functions[program.calls[1].function]
    #expect(program.calls[1].layers == [0, 1, 2])
    #expect(function.weights.first { $0.role == .constant }?.constants.count == 3)
  }
}
