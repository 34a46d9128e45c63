import EPCost
import Testing

@Suite struct FigureTests {
  private func figure(_ value: Double, _ provenance: Figure.Provenance, spread: Double) -> Figure {
    Figure(value, provenance: provenance, source: "\(provenance)", spread: spread)
  }

  @Test func independentErrorsAddInQuadrature() {
    let sum = Figure.sum([figure(3, .measured, spread: 2), figure(4, .derived, spread: 2)])
    #expect(sum.value == 7)
    #expect(abs(sum.upper - 12) < 1e-12)
    #expect(abs(sum.lower - 4.5) < 1e-12)
    #expect(sum.provenance == .derived)
    #expect(sum.source == "measured; derived")
  }

  @Test func triflesDoNotDecideProvenance() {
    let sum = Figure.sum([figure(100, .measured, spread: 1.1), figure(0.5, .derived, spread: 2)])
    #expect(sum.provenance == .measured)
  }

  @Test func repeatingScalesTheError() {
    let layers = figure(2, .measured, spread: 1.5).scaled(by: 58)
    #expect(layers.value == 116 && abs(layers.upper - 174) < 1e-9)
  }

  @Test func theMaximumTakesTheLargerEnds() {
    let most = Figure.maximum([figure(5, .measured, spread: 1.1), figure(4, .derived, spread: 2)])
    #expect(most.value == 5 && most.upper == 8 && most.provenance == .measured)
    #expect(Figure.maximum([]) == .zero && Figure.sum([]) == .zero)
  }

  @Test func anErrorOfItsOwnWidensBothEnds() {
    let wide = figure(10, .measured, spread: 1.2).widened(by: 1.2)
    #expect(wide.value == 10 && wide.upper > 12 && wide.upper < 14.4)
    #expect(abs(wide.upper * wide.lower - 100) < 1e-9)
  }

  @Test func aFloorMovesValueAndEnds() {
    let bounded = figure(1, .measured, spread: 2).bounded(below: 3)
    #expect(bounded.value == 3 && bounded.lower == 3 && bounded.upper == 3)
  }
}
