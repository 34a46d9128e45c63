import Testing

@testable import EPCheckpoint

/// One way to store a weight, and the weight itself, made element by element.
private struct Case {
  var source: StoredTensor
  var shape: WeightShape
  var entries: [RawEntry]
  /// The weight `[experts, rows, columns]`.
  var expected: [Float]
}

/// A small random float that every type here holds exactly.
private func smallValue(_ random: inout SeededGenerator) -> Float {
  Float(Int.random(in: -8...8, using: &random)) / 4
}

/// The code of a multiple of 1/4 up to 2 in E4M3, by search.
private func e4m3(_ value: Float) -> UInt8 {
  for code in 0..<256 where code % 128 != 127 {
    let (exponent, mantissa) = ((code >> 3) % 16, Float(code % 8))
    var magnitude: Float = exponent == 0 ? mantissa / 8 / 64 : (1 + mantissa / 8)
    for _ in 0..<abs(exponent - 7) where exponent > 0 {
      magnitude = exponent < 7 ? magnitude / 2 : magnitude * 2
    }
    if (code < 128 ? magnitude : -magnitude) == value { return UInt8(code) }
  }
  return 0
}

private func encode(_ values: [Float], _ type: String) -> [UInt8] {
  switch type {
  case "BF16": values.flatMap { littleEndian(UInt16($0.bitPattern >> 16)) }
  case "F64": values.flatMap { littleEndian(Double($0).bitPattern) }
  case "F8_E4M3": values.map { e4m3($0) }
  default: values.flatMap { littleEndian($0.bitPattern) }
  }
}

/// Draws a storage, a shape and values.
private func randomCase(_ random: inout SeededGenerator) -> Case {
  let experts = Bool.random(using: &random) ? Int.random(in: 1...3, using: &random) : nil
  let rows = Int.random(in: 1...9, using: &random)
  let columns = Int.random(in: 1...70, using: &random)
  let selection: RowSelection =
    switch Int.random(in: 0...2, using: &random) {
    case 0: .all
    case 1:
      {
        let start = Int.random(in: 0...4, using: &random)
        return .range(
          start, count: rows, of: start + rows + Int.random(in: 0...3, using: &random))
      }()
    default:
      {
        let count = Int.random(in: 1...3, using: &random)
        return .interleaved(Int.random(in: 0..<count, using: &random), of: count)
      }()
    }
  let (total, first, step) =
    switch selection {
    case .all: (rows, 0, 1)
    case .range(let start, _, let total): (total, start, 1)
    case .interleaved(let index, let count): (rows * count, index, count)
    }
  let isTransposed = Bool.random(using: &random)
  let (height, width) = isTransposed ? (columns, total) : (total, columns)
  let matrices = experts ?? 1
  var stored = (0..<(matrices * height * width)).map { _ in smallValue(&random) }
  let type = ["F32", "BF16", "F64", "F8_E4M3"].randomElement(using: &random) ?? "F32"
  let prefix = experts.map { [$0] } ?? []
  var entries = [RawEntry("w", type, prefix + [height, width], encode(stored, type))]
  var block = ScaleBlock(rows: 128, columns: 128)
  if type == "F8_E4M3" {
    block = ScaleBlock(
      rows: Int.random(in: 1...8, using: &random), columns: Int.random(in: 1...40, using: &random))
    let grid = [
      (height + block.rows - 1) / block.rows, (width + block.columns - 1) / block.columns,
    ]
    let scales = (0..<(matrices * grid[0] * grid[1])).map { _ in
      Float.random(in: 0.001...3, using: &random)
    }
    entries.append(RawEntry("w_scale_inv", prefix + grid, scales))
    for index in stored.indices {
      let (matrix, row, column) = (
        index / (height * width), index / width % height, index % width
      )
      stored[index] *=
        scales[(matrix * grid[0] + row / block.rows) * grid[1] + column / block.columns]
    }
  }
  var expected: [Float] = []
  for matrix in 0..<matrices {
    for row in 0..<rows {
      for column in 0..<columns {
        let from = first + row * step
        let place = isTransposed ? column * width + from : from * width + column
        expected.append(stored[matrix * height * width + place])
      }
    }
  }
  return Case(
    source: StoredTensor("w", transposed: isTransposed, rows: selection, scaleBlock: block),
    shape: WeightShape(experts: experts, columns == 1 ? [rows] : [rows, columns]),
    entries: entries, expected: expected)
}

private func randomRange(_ limit: Int, _ random: inout SeededGenerator) -> Range<Int> {
  let start = Int.random(in: 0...limit, using: &random)
  return start..<Int.random(in: start...limit, using: &random)
}

extension CheckpointReader {
  /// A slice of a weight, its bytes read first.
  fileprivate func values(
    _ weight: StoredWeight, _ slice: WeightSlice, gap: Int
  ) throws -> [Float] {
    let ranges = try weight.ranges(of: slice).joined(gap: gap)
    if ranges.isEmpty { return [] }
    var values: [Float] = []
    try read(ranges, priority: .now).withBytes { (staged) throws(CheckpointError) in
      values = try weight.reading(from: staged).values(slice)
    }
    return values
  }
}

@Suite struct SliceTests {
  @Test func everySliceOfEveryStorageIsTheNaiveOne() throws {
    let folder = try TemporaryFolder()
    var random = SeededGenerator(7)
    for number in 0..<400 {
      let example = randomCase(&random)
      // A first tensor of odd length leaves the others unaligned.
      let pad = RawEntry("a", "U8", [number % 4], [UInt8](repeating: 0, count: number % 4))
      let file = try folder.write("c.safetensors", safetensors([pad] + example.entries))
      let checkpoint = try Checkpoint.open(file)
      let weight = try checkpoint.resolve(example.source, as: example.shape)
      let reader = try CheckpointReader(checkpoint, threads: 2)
      let shape = example.shape
      for round in 0..<8 {
        let slice =
          round == 0
          ? shape.all
          : WeightSlice(
            experts: randomRange(shape.experts, &random), rows: randomRange(shape.rows, &random),
            columns: randomRange(shape.columns, &random))
        var expected: [Float] = []
        for expert in slice.experts {
          for row in slice.rows {
            for column in slice.columns {
              expected.append(
                example.expected[(expert * shape.rows + row) * shape.columns + column])
            }
          }
        }
        let found = try weight.values(slice)
        #expect(found == expected, "case \(number): \(example.source) \(shape) \(slice)")
        // The same from memory that just the slice's bytes were read to.
        let streamed = try reader.values(weight, slice, gap: round)
        #expect(streamed == expected, "case \(number): \(example.source) \(shape) \(slice)")
      }
    }
  }

  @Test func aTransposedTensorLargerThanATileIsTurnedWhole() throws {
    let (rows, columns) = (2500, 70)
    let folder = try TemporaryFolder()
    let values = (0..<(rows * columns)).map { Float($0) }
    let file = try folder.write(
      "t.safetensors", safetensors([RawEntry("w", [columns, rows], values)]))
    let checkpoint = try Checkpoint.open(file)
    for (selection, count) in [
      (RowSelection.all, 2500), (.interleaved(1, of: 2), 1250), (.interleaved(3, of: 5), 500),
    ] {
      let shape = WeightShape([count, columns])
      let found = try checkpoint.resolve(
        StoredTensor("w", transposed: true, rows: selection), as: shape
      ).values(shape.all)
      let expected = (0..<(count * columns)).map { index in
        Float(index % columns * rows + selection.firstRow + index / columns * selection.step)
      }
      #expect(found == expected)
    }
  }

  @Test func mxfp4RowsComeInterleavedAndNeverTransposed() throws {
    let (experts, rows, columns) = (2, 6, 64)
    var random = SeededGenerator(3)
    let magnitudes: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let codes = (0..<(experts * rows * columns)).map { _ in Int.random(in: 0..<16, using: &random) }
    let scales = (0..<(experts * rows * columns / 32)).map { _ in
      UInt8.random(in: 120...134, using: &random)
    }
    let blocks = (0..<(codes.count / 2)).map { UInt8(codes[2 * $0] | codes[2 * $0 + 1] << 4) }
    let folder = try TemporaryFolder()
    let file = try folder.write(
      "m.safetensors",
      safetensors([
        RawEntry("w_blocks", "U8", [experts, rows, columns / 32, 16], blocks),
        RawEntry("w_scales", "U8", [experts, rows, columns / 32], scales),
      ]))
    let shape = WeightShape(experts: experts, [rows / 2, columns])
    let slice = WeightSlice(experts: 1..<2, rows: 1..<3, columns: 5..<50)
    let checkpoint = try Checkpoint.open(file)
    let weight = try checkpoint.resolve(
      StoredTensor("w", transposed: true, rows: .interleaved(1, of: 2)), as: shape)
    var expected: [Float] = []
    for row in slice.rows {
      for column in slice.columns {
        let index = (rows + row * 2 + 1) * columns + column
        let magnitude = magnitudes[codes[index] % 8] * (codes[index] < 8 ? 1 : -1)
        var scale: Float = 1
        let power = Int(scales[index / 32]) - 127
        for _ in 0..<abs(power) { scale = power < 0 ? scale / 2 : scale * 2 }
        expected.append(magnitude * scale)
      }
    }
    #expect(try weight.values(slice) == expected)
    let reader = try CheckpointReader(checkpoint, threads: 1)
    #expect(try reader.values(weight, slice, gap: 0) == expected)
  }

  @Test(arguments: [
    ([1, 16], [16]), ([16], [1, 16]), ([8, 1, 4], [8, 4]), ([6, 5], [2, 3, 5]),
    ([1, 1, 4, 1], [4]),
    ([], [1]), ([2, 3, 4], [24]),
  ])
  func anOtherSplitOfTheAxesIsTheSameWeight(_ stored: [Int], _ wanted: [Int]) {
    #expect(isReshape(stored, wanted))
    #expect(isReshape(wanted, stored))
  }

  @Test(arguments: [
    ([64, 32], [32, 64]), ([2, 12], [6, 4]), ([4], [5]), ([0], [0, 2]), ([3, 4, 2], [4, 3, 2]),
  ])
  func anOtherMatrixOfAsManyElementsIsNot(_ stored: [Int], _ wanted: [Int]) {
    #expect(!isReshape(stored, wanted))
  }

  @Test func theFirstNonFiniteElementIsFound() throws {
    var values = [Float](repeating: 1, count: 3 * 40 * 100)
    values[(1 * 40 + 7) * 100 + 50] = .nan
    values[(2 * 40 + 1) * 100 + 99] = -.infinity
    let folder = try TemporaryFolder()
    let file = try folder.write(
      "n.safetensors", safetensors([RawEntry("w", [3, 40, 100], values)]))
    let shape = WeightShape(experts: 3, [40, 100])
    let weight = try Checkpoint.open(file).resolve(StoredTensor("w"), as: shape)
    let nan = try #require(try weight.firstNonFinite(in: shape.all))
    #expect([nan.expert, nan.row, nan.column] == [1, 7, 50] && nan.value.isNaN)
    let slice = WeightSlice(experts: 1..<3, rows: 0..<40, columns: 51..<100)
    let infinity = try #require(try weight.firstNonFinite(in: slice))
    #expect([infinity.expert, infinity.row, infinity.column] == [2, 1, 99])
    #expect(infinity.value == -.infinity)
    #expect(
      try weight.firstNonFinite(
        in: WeightSlice(experts: 0..<3, rows: 8..<40, columns: 0..<99)) == nil)
  }
}
