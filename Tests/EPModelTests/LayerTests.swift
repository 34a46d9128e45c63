import EPModel
import Foundation
import Testing

@Suite struct LayerTests {
  @Test func layersThatAreAlikeAreOneFunction() {
    let model = smallModel {
      Layers(0..<12) { layer in
        Block {
          smallAttention()
        } feedForward: {
          if layer % 4 == 3 { SwiGLU(96) } else { SwiGLU(32) }
        }
      }
    }
    let program = model.traced().program
    #expect(program.functions.count == 4)
    #expect(
      program.calls.map(\.layers)
        == [[], [0, 1, 2], [3], [4, 5, 6], [7], [8, 9, 10], [11], []])
    #expect(program.calls.map(\.function) == [0, 1, 2, 1, 2, 1, 2, 3])
    #expect(program.layerCount == 12)
  }

  @Test func constantsStandInARowForEachLayer() throws {
    let model = smallModel { Layers(0..<3) { LightningAttention(heads: 4, headSize: 16) } }
    let program = model.traced().program
    #expect(program.functions.count == 3)
    let decay = try #require(program.functions[1].weights.first { $0.role == .constant })
    #expect(decay.constants.count == 3)
    #expect(decay.constants.allSatisfy { $0.count == 4 })
    #expect(Set(decay.constants).count == 3)
    #expect(program.parameterCount.total == model.traced().program.parameterCount.total)
  }

  @Test func layersRunInTheOrderOfTheirNumbers() {
    let model = smallModel {
      Layers([3, 1]) { SwiGLU(48) }
      Layers([0, 2]) { SwiGLU(32) }
    }
    #expect(model.traced().program.calls.map(\.layers) == [[], [0], [1], [2], [3], []])
  }

  @Test func layersThatDifferInNamesAreTwoFunctions() {
    let model = smallModel {
      Layers(0..<2) { layer in SwiGLU(32).named(layer == 0 ? "dense" : "wide") }
    }
    #expect(model.traced().program.functions.count == 4)
  }

  @Test func whereLayersStandDoesNotSetThemApart() {
    let model = smallModel {
      Layers(0..<1) { SwiGLU(32) }
      Layers(1..<2) { SwiGLU(32) }
    }
    #expect(model.traced().program.calls.map(\.layers) == [[], [0, 1], []])
  }

  @Test func buildersTakeControlFlow() {
    func model(_ gated: Bool, _ depths: [Int]) -> Model {
      smallModel {
        for depth in depths {
          Layers([depth]) {
            for size in [32, 48] { SwiGLU(size).named("ff\(size)") }
            if gated { Custom { $0.sigmoid() } }
            switch depth {
            case 0: FeedForward(32, activation: "relu").named("last")
            default: SwiGLU(32).named("last")
            }
          }
        }
        if gated { MultiTokenPrediction { SwiGLU(32) } }
      }
    }
    let plain = model(false, [0, 1]).traced()
    #expect(plain.diagnostics.isEmpty)
    #expect(plain.program.drafts.isEmpty)
    #expect(plain.program.functions[1].operations.map(\.kind).filter { $0 == .glu }.count == 2)
    #expect(plain.program.functions[2].operations.map(\.kind).filter { $0 == .glu }.count == 3)
    let gated = model(true, [0]).traced()
    #expect(gated.program.drafts.map(\.layers) == [[1]])
    #expect(
      gated.program.functions[1].operations.contains { $0.attributes.text("function") == "sigmoid" }
    )
  }

  @Test func mixtureBuildersTakeControlFlow() {
    func model(_ shared: Bool) -> Model {
      smallModel {
        Layers(0..<1) {
          MixtureOfExperts {
            if shared { Router(.softmax, topK: 1) } else { Router(.sigmoid, topK: 2) }
            for index in 0..<(shared ? 2 : 0) { SharedExperts(1, named: "s\(index)") { SwiGLU(8) } }
            RoutedExperts(4) { SwiGLU(32) }
          }
        }
      }
    }
    #expect(model(true).traced().diagnostics.isEmpty)
    #expect(model(true).weightNames.contains("model.layers.{layer}.s1.up_proj.weight"))
    #expect(!model(false).weightNames.contains("model.layers.{layer}.s0.up_proj.weight"))
  }

  @Test func twoTracesAreTheSameBytes() throws {
    func text() -> String {
      smallModel {
        Layers(0..<6) { layer in
          Block {
            if layer % 2 == 0 {
              LightningAttention(heads: 4, headSize: 16)
            } else {
              smallAttention()
            }
          } feedForward: {
            MixtureOfExperts {
              Router(.sigmoid, topK: 2, correctionBias: true, normalized: true, scale: 2.5)
              RoutedExperts(8) { SwiGLU(32) }
            }
          }
        }
        MultiTokenPrediction(depth: 2) { SwiGLU(32) }
      }.traced().program.document.json
    }
    let first = text()
    #expect(Array(first.utf8) == Array(text().utf8))
    #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(first.utf8)) }
  }

  @Test func layersAreWrittenAsRuns() throws {
    #expect(ModelProgram.Call.text(of: [0, 1, 2, 5, 7, 8]) == "0-2,5,7-8")
    #expect(try ModelProgram.Call.layers(parsing: "0-2,5,7-8") == [0, 1, 2, 5, 7, 8])
    for text in ["", "2-1", "1,1", "-1", "a", "0-100000", "1-2-3"] {
      #expect(throws: OpError.self) { try ModelProgram.Call.layers(parsing: text) }
    }
  }

  @Test func innerAxesOfSharedExpertsHaveANameOfTheirOwn() {
    let inner = Custom { x in
      x.linear("up", to: [x.trace.intermediate(8)]).linear("down", to: [x.axes[1]])
    }
    let model = smallModel {
      Layers(0..<1) {
        MixtureOfExperts {
          Router(.softmax, topK: 1)
          SharedExperts(1) { inner }
          RoutedExperts(4) { inner }
        }
      }
    }
    let axes = model.traced().program.functions[1].weights.filter { $0.name.contains("up") }
      .compactMap { $0.axes.first { $0.split == .tensor }?.name }
    #expect(Set(axes) == ["intermediate", "shared_intermediate"])
  }
}
