import EPJSON
import Glibc
import Testing

/// SplitMix64: the same documents on every machine.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func parse(_ text: String, maxDepth: Int = 128) throws(JSONError) -> JSONValue {
  try JSONValue.parse(bytes: Array(text.utf8), limits: JSONLimits(maxDepth: maxDepth))
}

func compact(_ value: JSONValue) throws -> String {
  String(decoding: try value.serialized(), as: UTF8.self)
}

func pretty(_ value: JSONValue) throws -> String {
  String(decoding: try value.serialized(style: .pretty), as: UTF8.self)
}

/// The error that `body` throws; a failure of the test when it throws none.
func error(of body: () throws(JSONError) -> Void) -> JSONError {
  do throws(JSONError) { try body() } catch { return error }
  Issue.record("no error was thrown")
  return JSONError(path: "", message: "")
}

func rejection(of bytes: [UInt8], limits: JSONLimits = JSONLimits()) -> JSONError {
  error { () throws(JSONError) in _ = try JSONValue.parse(bytes: bytes, limits: limits) }
}

func rejection(of text: String) -> JSONError { rejection(of: Array(text.utf8)) }

/// A random document with nasty strings, numbers at the edges, and large and small objects.
func randomValue(depth: Int, using random: inout SeededGenerator) -> JSONValue {
  switch Int.random(in: 0..<(depth > 0 ? 10 : 7), using: &random) {
  case 0: return .null
  case 1: return .bool(.random(using: &random))
  case 2: return .int(Int(truncatingIfNeeded: random.next() >> UInt64.random(in: 0..<64)))
  case 3: return .int(Int.random(in: -100...100, using: &random))
  case 4: return .double(randomDouble(using: &random))
  case 5, 6: return .string(randomString(using: &random))
  case 7: return .array((0..<randomCount(&random)).map { _ in .int(Int(random.next() >> 50)) })
  case 8:
    let count = randomCount(&random)
    return .array((0..<count).map { _ in randomValue(depth: depth - 1, using: &random) })
  default:
    var object = JSONObject()
    for _ in 0..<randomCount(&random) {
      let key = randomString(using: &random).filter { $0 != "\0" }
      object[key] = randomValue(depth: depth - 1, using: &random)
    }
    return .object(object)
  }
}

private func randomCount(_ random: inout SeededGenerator) -> Int {
  Int.random(in: 0...(Int.random(in: 0..<8, using: &random) == 0 ? 40 : 5), using: &random)
}

private func randomDouble(using random: inout SeededGenerator) -> Double {
  switch Int.random(in: 0..<4, using: &random) {
  case 0: return Double(Int.random(in: -1000...1000, using: &random))
  case 1: return Double.random(in: -1...1, using: &random)
  case 2:
    return [0.0, -0.0, 0.1, .leastNonzeroMagnitude, 1e16, 1e22, .greatestFiniteMagnitude, 0x1p63]
      .randomElement(using: &random)!
  default:
    let bits = Double(bitPattern: random.next())
    return bits.isFinite ? bits : 1.5
  }
}

private func randomString(using random: inout SeededGenerator) -> String {
  var text = ""
  for _ in 0..<Int.random(in: 0...20, using: &random) {
    let value: UInt32 =
      switch Int.random(in: 0..<8, using: &random) {
      case 0: UInt32.random(in: 0..<0x20, using: &random)
      case 1: UInt32.random(in: 0x80..<0x800, using: &random)
      case 2: UInt32.random(in: 0x800..<0x11_0000, using: &random)
      case 3: [0x22, 0x5C, 0x2F, 0x7F, 0x2028, 0xFEFF].randomElement(using: &random)!
      default: UInt32.random(in: 0x20..<0x7F, using: &random)
      }
    text.unicodeScalars.append(Unicode.Scalar(value) ?? "?")
  }
  return text
}
