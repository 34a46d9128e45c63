import EPJSON
import Glibc
import Testing

@Suite struct PropertyTests {
  @Test(arguments: 0..<8)
  func randomDocumentsSurviveARoundTrip(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<150 {
      let value = randomValue(depth: 5, using: &random)
      for style in JSONValue.Style.allCases {
        let bytes = try value.serialized(style: style)
        let back = try JSONValue.parse(bytes: bytes)
        #expect(back == value)
        #expect(try back.serialized(style: style) == bytes)
      }
    }
  }

  @Test func randomDoublesSurviveARoundTrip() throws {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<5_000 {
      let number = Double(bitPattern: random.next())
      guard number.isFinite else { continue }
      let bytes = try JSONValue.double(number).serialized()
      guard case .double(let back) = try JSONValue.parse(bytes: bytes) else {
        Issue.record("\(number) came back as something else")
        continue
      }
      #expect(back.bitPattern == number.bitPattern)
    }
  }

  /// Every mutation is either refused by the lexer or is JSON that survives a round trip; json-c
  /// never refuses what the lexer has accepted.
  @Test func mutationsAreRefusedOrRead() throws {
    let setting = unsafe getenv("EPC_FUZZ_ITERATIONS").map { unsafe String(cString: $0) }
    let iterations = setting.flatMap { Int($0) } ?? 20_000
    var random = SeededGenerator(seed: 0xE9C)
    var seeds = try (0..<40).map { _ in
      try randomValue(depth: 3, using: &random).serialized(
        style: .random(using: &random) ? .compact : .pretty)
    }
    seeds.append(
      Array(#"{"a":[1.5e3,-2,{"b":"\uD834\uDD1E"}],"c":1e308,"d":9223372036854775807}"#.utf8))
    var accepted = 0
    for _ in 0..<iterations {
      var bytes = seeds.randomElement(using: &random)!
      if bytes.count > 400 { bytes = Array(bytes.prefix(400)) }
      for _ in 0..<Int.random(in: 1...3, using: &random) { mutate(&bytes, using: &random) }
      let value: JSONValue
      do throws(JSONError) {
        value = try JSONValue.parse(bytes: bytes, limits: JSONLimits(maxDepth: 16))
      } catch {
        let known = error.line != nil && error.path.hasPrefix("$")
        if !known || error.message.contains("json-c") {
          Issue.record("\(error) for \(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        continue
      }
      accepted += 1
      let once = try value.serialized()
      let back = try JSONValue.parse(bytes: once)
      if try back != value || back.serialized() != once {
        Issue.record("unstable: \(String(decoding: bytes, as: UTF8.self).debugDescription)")
      }
    }
    #expect(accepted > iterations / 50, "the fuzz must also reach the accepting side")
    if setting != nil { print("fuzz: \(accepted) of \(iterations) mutations accepted") }
  }

  private func mutate(_ bytes: inout [UInt8], using random: inout SeededGenerator) {
    let tokens: [String] = [
      "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\uD800", "0", "-", "1e999", ".", "e",
      "null",
      "tru", "NaN", "//", "/**/", "'", "\0", "\u{1}", "é", " ", "\n", "9223372036854775808", "{}",
      "\"a\":1,", "[[[[[[[[", "\\u0000", "\u{FEFF}",
    ]
    let place = Int.random(in: 0...bytes.count, using: &random)
    let count = min(bytes.count - place, Int.random(in: 1...4, using: &random))
    switch Int.random(in: 0..<5, using: &random) {
    case 0 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 1 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2: bytes.removeSubrange(place..<place + count)
    case 3:
      let source = Int.random(in: 0...(bytes.count - count), using: &random)
      bytes.insert(contentsOf: Array(bytes[source..<source + count]), at: place)
    default: bytes.insert(contentsOf: tokens.randomElement(using: &random)!.utf8, at: place)
    }
  }
}
