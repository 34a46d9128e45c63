import Glibc
import Testing

@testable import EPCheckpoint

/// How many mutants to try: 2,000, or what `EPC_FUZZ_ITERATIONS` says.
private var iterations: Int {
  unsafe getenv("EPC_FUZZ_ITERATIONS").flatMap { unsafe Int(String(cString: $0)) } ?? 2_000
}

/// Changes a few bytes of the header, or whole pieces of its text, or its length.
private func mutate(_ original: [UInt8], header: Int, _ random: inout SeededGenerator) -> [UInt8] {
  let pieces = [
    "\"", "[", "]", "{", "}", ",", ":", "0", "-1", "9223372036854775807", "18446744073709551615",
    "1e9", "null", "\"F32\"", "\"U8\"", "\"F4\"", "\"w\"", "\"data_offsets\"", "[0,0]", "\\u0000",
    "\u{e9}", "\u{0}",
  ]
  var bytes = original
  for _ in 0..<Int.random(in: 1...4, using: &random) {
    let limit = min(8 + header, bytes.count)
    guard limit > 8 else { break }
    let place = Int.random(in: 8..<limit, using: &random)
    switch Int.random(in: 0..<12, using: &random) {
    case 0..<4: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 4..<7: bytes[place] = UInt8.random(in: 0x20...0x7e, using: &random)
    case 7, 8:
      let piece = Array((pieces.randomElement(using: &random) ?? "").utf8)
      bytes.replaceSubrange(place..<min(place + piece.count, limit), with: piece)
    case 9:
      let other = Int.random(in: 8..<limit, using: &random)
      bytes.swapAt(place, other)
    case 10:
      bytes[Int.random(in: 0..<8, using: &random)] = UInt8.random(in: 0...255, using: &random)
    default: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
    }
  }
  return bytes
}

@Suite struct FuzzTests {
  @Test func noMutatedHeaderReadsOutsideItsFile() throws {
    let entries = [
      RawEntry("__m", [2, 3], [1, 2, 3, 4, 5, 6]), RawEntry("w", "F8_E4M3", [2, 2], [1, 2, 3, 4]),
      RawEntry("w_scale_inv", [1, 1], [2]),
      RawEntry("q_blocks", "U8", [1, 1, 16], [UInt8](repeating: 0x5a, count: 16)),
      RawEntry("q_scales", "U8", [1, 1], [127]), RawEntry("i", "I64", [1], littleEndian(Int64(5))),
    ]
    let original = safetensors(entries)
    let header = Int(original[0]) + Int(original[1]) << 8
    let folder = try TemporaryFolder()
    var random = SeededGenerator(2_026)
    var accepted = 0
    for _ in 0..<iterations {
      let bytes = mutate(original, header: header, &random)
      // First from memory, where reading past the end would trap.
      let parsed = try? SafetensorsHeader(
        byteCount: bytes.count, path: "f", name: "f", fileIndex: 0, read: { Array(bytes[$0]) }
      ).tensors
      guard let parsed else { continue }
      accepted += 1
      // Then as a file, reading everything that it says it holds.
      let checkpoint = try Checkpoint.open(folder.write("f.safetensors", bytes))
      #expect(checkpoint.tensors.count == parsed.count)
      for tensor in parsed {
        #expect(tensor.bytes.lowerBound >= 8 && tensor.bytes.upperBound <= bytes.count)
        let shape = WeightShape([max(1, elementCount(tensor.shape) ?? 0)])
        for name in [tensor.name, "q"] {
          let source = StoredTensor(name, scaleBlock: ScaleBlock(rows: 2, columns: 2))
          guard let weight = try? checkpoint.resolve(source, as: shape) else { continue }
          #expect(try weight.values(shape.all).count == shape.columns * shape.rows)
        }
        _ = try? checkpoint.integers(tensor.name)
      }
    }
    // A mutation of a name leaves a sound file; were there none, the reading would be untested.
    #expect(accepted > iterations / 100)
  }
}
