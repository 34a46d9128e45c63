import EPPlacement
import Glibc

/// Ends with a line on stderr.
func fail(_ message: String) -> Never {
  let bytes = Array("\(message)\n".utf8)
  _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
  exit(1)
}

// The tables of docs/placement.md, from the folder that EPC_NUMBERS names.
guard let folder = unsafe getenv("EPC_NUMBERS") else {
  fail("EPC_NUMBERS must name the folder with results.json and loads/")
}
let wanted = CommandLine.arguments.dropFirst()
let parts = wanted.compactMap { PlacementBenchmark.Part(rawValue: $0) }
if parts.count < wanted.count {
  fail("name some of \(PlacementBenchmark.Part.allCases.map(\.rawValue)), or nothing for all")
}
do {
  let tables = try PlacementBenchmark.run(
    folder: unsafe String(cString: folder),
    parts: parts.isEmpty ? PlacementBenchmark.Part.allCases : parts)
  print(tables, terminator: "")
} catch {
  fail(error.description)
}
