import Testing

@testable import EPReport

@Suite struct UnitsTests {
  @Test(arguments: [
    (0, "0 B"), (512, "512 B"), (999, "999 B"), (1000, "0.98 KiB"), (1024, "1.00 KiB"),
    (10_240, "10.0 KiB"), (1 << 20, "1.00 MiB"), (1023 << 20, "1.00 GiB"), (40 << 30, "40.0 GiB"),
    (5 << 50, "5.00 PiB"),
  ])
  func bytesHaveThreeDigits(bytes: Int, text: String) { #expect(Units.bytes(bytes) == text) }

  @Test(arguments: [
    (0, "0"), (980, "980"), (999_499, "999 K"), (999_500, "1.00 M"), (12_400_000, "12.4 M"),
    (37_552_297_472, "37.6 B"), (671_026_419_200, "671 B"), (1_026_408_232_448, "1.03 T"),
    (.max, "9.22 E"),
  ])
  func countsHaveThreeDigits(count: Int, text: String) { #expect(Units.count(count) == text) }

  @Test func percentagesSayWhenTheyAreSmall() {
    #expect(Units.percent(1, of: 8) == "12.5 %")
    #expect(Units.percent(1, of: 100_000) == "< 0.1 %")
    #expect(Units.percent(0, of: 5) == "0.0 %")
    #expect(Units.percent(1, of: 0) == "-")
  }

  @Test func runsAreAbbreviated() {
    #expect(Units.runs([]) == "")
    #expect(Units.runs([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8")
    #expect(Units.runs([0, 2, 4, 6, 7], most: 2) == "0, 2, and 3 more")
  }

  @Test func barsFillTheirTrackAndNeverVanish() {
    #expect(TextPage.bar(0, of: 10, most: 8) == "")
    #expect(TextPage.bar(1, of: 1_000_000, most: 8) == "▏")
    #expect(TextPage.bar(5, of: 10, most: 8) == "████")
    #expect(TextPage.bar(30, of: 10, most: 8) == "████████")
    #expect(TextPage.bar(.max, of: 1, most: 3) == "███")
  }
}
