import Glibc
import Testing

@testable import EPCheckpoint

/// The value of a small float by the definition: sum of digits, one factor at a time.
private func slowValue(_ code: Int, exponentBits: Int, mantissaBits: Int) -> Double {
  let mantissa = code % (1 << mantissaBits)
  let exponent = (code >> mantissaBits) % (1 << exponentBits)
  let sign: Double = code >> (mantissaBits + exponentBits) == 0 ? 1 : -1
  let bias = (1 << (exponentBits - 1)) - 1
  var value = Double(mantissa) + (exponent == 0 ? 0 : Double(1 << mantissaBits))
  let power = (exponent == 0 ? 1 : exponent) - bias - mantissaBits
  for _ in 0..<abs(power) { value = power < 0 ? value / 2 : value * 2 }
  return sign * value
}

private func read(_ type: String, _ bytes: [UInt8], count: Int) throws -> [Float] {
  let folder = try TemporaryFolder()
  let file = try folder.write(
    "one.safetensors", safetensors([RawEntry("w", type, [count], bytes)]))
  let checkpoint = try Checkpoint.open(file)
  let shape = WeightShape([count])
  return try checkpoint.resolve(StoredTensor("w", scaleBlock: nil), as: shape).values(shape.all)
}

private func expectSame(_ found: Float, _ expected: Double, code: Int) {
  if expected.isNaN {
    #expect(found.isNaN, "code \(code)")
  } else {
    #expect(found.bitPattern == Float(expected).bitPattern, "code \(code)")
    #expect(Double(found) == expected, "code \(code)")
  }
}

@Suite struct ConversionTests {
  @Test func everyFloat16CodeIsExact() throws {
    let found = try read("F16", (0..<65_536).flatMap { littleEndian(UInt16($0)) }, count: 65_536)
    for code in 0..<65_536 {
      var expected = slowValue(code, exponentBits: 5, mantissaBits: 10)
      if (code >> 10) % 32 == 31 {
        expected = code % 1024 == 0 ? (code < 32_768 ? .infinity : -.infinity) : .nan
      }
      expectSame(found[code], expected, code: code)
    }
  }

  @Test func everyBFloat16CodeIsExact() throws {
    let found = try read("BF16", (0..<65_536).flatMap { littleEndian(UInt16($0)) }, count: 65_536)
    for code in 0..<65_536 {
      var expected = slowValue(code, exponentBits: 8, mantissaBits: 7)
      if (code >> 7) % 256 == 255 {
        expected = code % 128 == 0 ? (code < 32_768 ? .infinity : -.infinity) : .nan
      }
      expectSame(found[code], expected, code: code)
    }
  }

  @Test func everyE4M3CodeIsExact() throws {
    let found = try read("F8_E4M3", (0..<256).map { UInt8($0) }, count: 256)
    for code in 0..<256 {
      let expected =
        code % 128 == 127 ? .nan : slowValue(code, exponentBits: 4, mantissaBits: 3)
      expectSame(found[code], expected, code: code)
    }
    #expect(found[0x7e] == 448)
  }

  @Test func everyE5M2CodeIsExact() throws {
    let found = try read("F8_E5M2", (0..<256).map { UInt8($0) }, count: 256)
    for code in 0..<256 {
      var expected = slowValue(code, exponentBits: 5, mantissaBits: 2)
      if (code >> 2) % 32 == 31 {
        expected = code % 4 == 0 ? (code < 128 ? .infinity : -.infinity) : .nan
      }
      expectSame(found[code], expected, code: code)
    }
  }

  @Test func everyE8M0CodeIsExact() throws {
    let found = try read("F8_E8M0", (0..<256).map { UInt8($0) }, count: 256)
    for code in 0..<256 {
      expectSame(found[code], code == 255 ? .nan : pow(2, Double(code - 127)), code: code)
    }
  }

  @Test func everyMXFP4PairIsExact() throws {
    // One block per scale, and in each block every code, twice.
    let magnitudes: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let block = (0..<16).map { UInt8($0 | ((15 - $0) << 4)) }
    let folder = try TemporaryFolder()
    let file = try folder.write(
      "one.safetensors",
      safetensors([
        RawEntry("w_blocks", "U8", [256, 1, 16], (0..<256).flatMap { _ in block }),
        RawEntry("w_scales", "U8", [256, 1], (0..<256).map { UInt8($0) }),
      ]))
    let shape = WeightShape([256, 32])
    let found = try Checkpoint.open(file).resolve(StoredTensor("w"), as: shape).values(shape.all)
    for scale in 0..<256 {
      for index in 0..<32 {
        let code = index % 2 == 0 ? index / 2 : 15 - index / 2
        let sign: Double = code < 8 ? 1 : -1
        let exact = sign * magnitudes[code % 8] * pow(2, Double(scale - 127))
        let expected: Double = scale == 255 ? .nan : Double(Float(exact))
        expectSame(found[scale * 32 + index], expected, code: scale * 32 + index)
      }
    }
  }

  @Test func float64IsRoundedToTheNearestFloat32() throws {
    let values: [Double] = [0, -0.0, 1, 1.0 / 3, .pi, 1e300, -1e-300, 1e-40, .infinity]
    let found = try read("F64", values.flatMap { littleEndian($0.bitPattern) }, count: values.count)
    #expect(found.map(\.bitPattern) == values.map { Float($0).bitPattern })
  }

  @Test func float32KeepsEveryBit() throws {
    var random = SeededGenerator(1)
    let codes = (0..<1000).map { _ in UInt32.random(in: 0...(.max), using: &random) }
    let found = try read("F32", codes.flatMap { littleEndian($0) }, count: codes.count)
    #expect(found.map(\.bitPattern) == codes)
  }

  @Test func integersAreNotWeights() throws {
    #expect(throws: CheckpointError.self) { try read("I32", [1, 0, 0, 0], count: 1) }
    #expect(throws: CheckpointError.self) { try read("U8", [1], count: 1) }
  }
}
