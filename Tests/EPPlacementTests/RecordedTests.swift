import EPPlacement
import Glibc
import Testing

/// The folder of recorded results, if the environment names one.
private var numbers: String? {
  guard let folder = unsafe getenv("EPC_NUMBERS") else { return nil }
  return unsafe String(cString: folder)
}

@Suite struct RecordedTests {
  @Test(.enabled(if: numbers != nil)) func noRecordedBalancerIsBetter() throws {
    let folder = try #require(numbers)
    var benchmark = PlacementBenchmark(folder: folder)
    try benchmark.runConfigurations()
    #expect(benchmark.results.count == 96)
    for result in benchmark.results {
      #expect(result.balance >= result.recorded - 1e-9, "\(result.name)")
      #expect(result.balance <= result.bound + 1e-9, "\(result.name)")
    }
    let gaps = benchmark.results.map { 1 - $0.balance / $0.bound }
    #expect(gaps.reduce(0, +) / Double(gaps.count) < 0.01)
  }
}
