import EPBackendMPI
import Glibc

/// Ends with a line on stderr.
func fail(_ message: String) -> Never {
  let bytes = Array("\(message)\n".utf8)
  _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
  exit(1)
}

/// The number behind a flag, or a default.
func number(_ flag: String, _ standard: Int) -> Int {
  let words = CommandLine.arguments
  guard let place = words.firstIndex(of: flag), words.indices.contains(place + 1) else {
    return standard
  }
  guard let number = Int(words[place + 1]), number > 0, number <= 1 << 20 else {
    fail("'\(flag) \(words[place + 1])'; it is a positive number")
  }
  return number
}

// The tables of docs/mpi.md: dispatch and combine beside MPI_Alltoallv of the same bytes.
do {
  let environment = unsafe getenv("EPC_MPI_LIBRARY").map { unsafe String(cString: $0) }
  let library = try MPILibrary(
    environment: environment.map { ["EPC_MPI_LIBRARY": $0] } ?? [:],
    executable: unsafe realpath("/proc/self/exe", nil).map { unsafe String(cString: $0) } ?? "")
  var benchmark = ExchangeBenchmark(
    library: library, hidden: number("--hidden", 2048), experts: number("--experts", 8),
    topK: number("--top-k", 4), rounds: number("--rounds", 50))
  if library.rank == 0 { print(ExchangeBenchmark.heading) }
  for tokens in [16, 128, 1024] {
    let line = try benchmark.line(tokens: number("--tokens", tokens))
    if library.rank == 0 { print(line) }
    if CommandLine.arguments.contains("--tokens") { break }
  }
  try library.finish()
} catch { fail("\(error)") }
