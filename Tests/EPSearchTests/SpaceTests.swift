import EPSearch
import Testing

@Suite struct SpaceTests {
  @Test func gridsHaveSoManyNumbersAnOctave() {
    #expect(
      SearchSpace.grid(from: 1, to: 16, perOctave: 4) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16])
  }
}
