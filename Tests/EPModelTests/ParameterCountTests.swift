import EPModel
import Testing

@Suite struct ParameterCountTests {
  @Test func activatedExpertsAreThoseATokenIsRoutedTo() {
    let model = smallModel {
      Layers(0..<2) {
        MixtureOfExperts {
          Router(.softmax, topK: 2)
          SharedExperts(2) { SwiGLU(16) }
          RoutedExperts(8) { SwiGLU(16) }
        }
      }
    }
    let count = model.traced().program.parameterCount
    let expert = 3 * 64 * 16
    let rest = 2 * 32 * 64 + 64 + 2 * (8 * 64 + 2 * expert)
    #expect(count.total == rest + 2 * 8 * expert)
    #expect(count.activated == rest + 2 * 2 * expert)
    #expect(count.table == 32 * 64)
    #expect(count.drafts == 0)
  }

  @Test func tiedTablesCountOnceAndAsTheHeads() {
    func count(tied: Bool) -> ParameterCount {
      Model("tied", vocabulary: 32, hidden: 64) {
        Embedding()
        Layers(0..<1) { FeedForward(16, activation: "relu") }
        LanguageModelHead(tied: tied)
      }.traced().program.parameterCount
    }
    #expect(count(tied: false).total == count(tied: true).total + 32 * 64)
    #expect(count(tied: true).table == 0)
    #expect(count(tied: false).table == 32 * 64)
  }

  @Test func draftsCountOnlyWhatTheyAdd() {
    let model = smallModel {
      Layers(0..<1) { FeedForward(16, activation: "relu") }
      MultiTokenPrediction(depth: 2) { FeedForward(16, activation: "relu") }
    }
    let count = model.traced().program.parameterCount
    #expect(count.drafts == 2 * (3 * 64 + 2 * 64 * 64 + 2 * 16 * 64))
  }

  @Test func expertsThatReturnTheirInputHaveNoWeights() {
    func count(identity: Int) -> ParameterCount {
      smallModel {
        Layers(0..<1) {
          MixtureOfExperts {
            Router(.softmax, topK: 2)
            RoutedExperts(8, identity: identity) { SwiGLU(16) }
          }
        }
      }.traced().program.parameterCount
    }
    #expect(count(identity: 4).total == count(identity: 0).total + 4 * 64)
  }

  @Test func constantsAreNoParameters() {
    let with = smallModel {
      Layers(0..<1) {
        Custom { $0 * $0.trace.constant("c", [.hidden(64)], Array(repeating: 1, count: 64)) }
      }
    }
    let without = smallModel { Layers(0..<1) { Custom { $0 * 2 } } }
    #expect(
      with.traced().program.parameterCount.total == without.traced().program.parameterCount.total)
  }
}
