import CEPKernels
import Testing

/// Packed matrix products against the reference, over random shapes, formats and levels.
@Suite struct FastLinearTests {
  static let formats = [
    EPC_FORMAT_F32, EPC_FORMAT_BF16, EPC_FORMAT_INT8, EPC_FORMAT_FP8, EPC_FORMAT_MXFP4,
  ]
  static let levels = [
    EPC_LEVEL_PORTABLE, EPC_LEVEL_AVX2, EPC_LEVEL_AVX512, EPC_LEVEL_VNNI, EPC_LEVEL_AMX,
  ].filter { $0.rawValue <= epc_level_best().rawValue }

  /// How far sums of products of numbers of about 1 are off the reference with the very weights that
  /// are packed, as a share of the root of the sum of squares: by how activations are rounded.
  static func bound(_ format: epc_format, on level: epc_level) -> Double {
    switch format {
    case EPC_FORMAT_F32: return 2e-6
    case EPC_FORMAT_BF16, EPC_FORMAT_FP8: return 8e-3
    case EPC_FORMAT_MXFP4 where level == EPC_LEVEL_AMX: return 8e-3
    default: return 1e-4
    }
  }

  /// A product of some shape with everything it needs.
  struct Case {
    var out: Int
    var contracted: Int
    var batch: Int
    var ends: [Int32]
    var hasBias: Bool
    var isIndexed: Bool
    var x: [Float]
    var weight: [Float]
    var bias: [Float]
    var index: [Int32]

    var rows: Int { Int(ends.last ?? 0) }
    var matrices: Int { batch * ends.count }

    init(_ seed: Int) {
      var random = SmallGenerator(seed)
      out = Int.random(in: 1...150, using: &random)
      contracted = Int.random(in: 1...300, using: &random)
      batch = Int.random(in: 0...3, using: &random) == 0 ? 2 : 1
      let groups =
        Int.random(in: 0...1, using: &random) == 0 ? 1 : Int.random(in: 2...5, using: &random)
      var end: Int32 = 0
      ends = (0..<groups).map { _ in
        end += [0, 1, 2, 5, 6, 7, 13, 16, 33, 40].randomElement(using: &random) ?? 1
        return end
      }
      if end == 0 { ends[groups - 1] = 3 }
      hasBias = Bool.random(using: &random)
      isIndexed = Int.random(in: 0...3, using: &random) == 0
      x = numbers(Int(ends[groups - 1]) * batch * contracted, seed &* 3 &+ 1)
      weight = numbers(groups * batch * out * contracted, seed &* 3 &+ 2)
      bias = numbers(groups * batch * out, seed &* 3 &+ 3)
      index = (0..<Int32(batch * contracted)).shuffled(using: &random)
    }

    /// The packed matrices, and what they stand for.
    func packed(_ format: epc_format) -> (packed: [UInt8], weight: [Float]) {
      let bytes = epc_packed_bytes(format, out, contracted)
      var packed = Array(repeating: UInt8(0xff), count: matrices * bytes)
      var unpacked = weight
      for matrix in 0..<matrices {
        unsafe packed.withUnsafeMutableBytes { packed in
          unsafe weight.withUnsafeBufferPointer { weight in
            for panel in 0..<epc_packed_panels(out) {
              unsafe epc_pack(
                format, weight.baseAddress! + matrix * out * contracted, out, contracted, panel,
                panel + 1, packed.baseAddress! + matrix * bytes)
            }
          }
          unsafe unpacked.withUnsafeMutableBufferPointer { unpacked in
            unsafe epc_unpack(
              format, packed.baseAddress! + matrix * bytes, out, contracted,
              unpacked.baseAddress! + matrix * out * contracted)
          }
        }
      }
      return (packed, unpacked)
    }

    /// The product of the given rows on some level.
    func run(
      _ format: epc_format, _ packed: [UInt8], _ level: epc_level, threads: Int, x: [Float],
      ends: [Int32]
    ) -> [Float] {
      let rows = Int(ends.last ?? 0)
      var y = Array(repeating: Float.nan, count: rows * batch * out)
      let pool = unsafe epc_pool_create(threads)!
      defer { unsafe epc_pool_destroy(pool) }
      unsafe packed.withUnsafeBytes { packed in
        unsafe bias.withUnsafeBufferPointer { bias in
          unsafe ends.withUnsafeBufferPointer { ends in
            unsafe index.withUnsafeBufferPointer { index in
              var linear = unsafe epc_linear(
                format: format, batch: batch, out: out, in: contracted,
                weights: packed.baseAddress, bias: hasBias ? bias.baseAddress : nil,
                group_ends: ends.count > 1 ? ends.baseAddress : nil, groups: ends.count)
              let scratch = unsafe UnsafeMutableRawPointer.allocate(
                byteCount: epc_linear_scratch(&linear, rows), alignment: 64)
              defer { unsafe scratch.deallocate() }
              let isDone = unsafe epc_linear_run(
                pool, level, &linear, x, isIndexed ? index.baseAddress : nil, rows, scratch, &y)
              precondition(isDone)
            }
          }
        }
      }
      return y
    }

    /// What the reference makes of a weight.
    func reference(_ weight: [Float]) -> [Float] {
      var y = Array(repeating: Float.nan, count: rows * batch * out)
      unsafe ends.withUnsafeBufferPointer { ends in
        unsafe index.withUnsafeBufferPointer { index in
          unsafe bias.withUnsafeBufferPointer { bias in
            unsafe epc_ref_linear(
              x, isIndexed ? index.baseAddress : nil, weight, hasBias ? bias.baseAddress : nil,
              rows, batch, out, contracted, ends.count > 1 ? ends.baseAddress : nil, ends.count, &y)
          }
        }
      }
      return y
    }
  }

  @Test(arguments: 0..<24) func fastEqualsReferenceWithinBounds(seed: Int) {
    let it = Case(seed)
    let size = Double(it.contracted).squareRoot()
    for format in FastLinearTests.formats {
      let (packed, weight) = it.packed(format)
      let expected = it.reference(weight)
      for level in FastLinearTests.levels {
        let made = it.run(format, packed, level, threads: 1 + seed % 3, x: it.x, ends: it.ends)
        let worst = zip(made, expected).map { abs(Double($0) - Double($1)) }.max() ?? 0
        #expect(
          made.allSatisfy(\.isFinite)
            && worst <= FastLinearTests.bound(format, on: level) * (1 + size),
          "\(format) on \(level): \(worst)")
      }
    }
  }

  /// A row alone, all rows together, one thread or three: not a bit of a row changes.
  @Test(arguments: 100..<112) func rowsDoNotDependOnTheirNeighbours(seed: Int) {
    let it = Case(seed)
    let (inputs, outputs) = (it.batch * it.contracted, it.batch * it.out)
    for format in FastLinearTests.formats {
      let (packed, _) = it.packed(format)
      for level in FastLinearTests.levels {
        let together = it.run(format, packed, level, threads: 1, x: it.x, ends: it.ends)
        #expect(
          it.run(format, packed, level, threads: 3, x: it.x, ends: it.ends) == together,
          "\(format) on \(level)")
        for row in stride(from: 0, to: it.rows, by: 3) {
          let group = it.ends.firstIndex { row < $0 } ?? 0
          let ends = it.ends.indices.map { Int32($0 < group ? 0 : 1) }
          let alone = it.run(
            format, packed, level, threads: 1,
            x: Array(it.x[(row * inputs)..<((row + 1) * inputs)]), ends: ends)
          #expect(
            alone == Array(together[(row * outputs)..<((row + 1) * outputs)]),
            "row \(row), \(format) on \(level)")
        }
      }
    }
  }

  /// What a format can say is kept as it is, and everything else is near.
  @Test func formatsKeepWhatTheyCanSay() {
    var it = Case(1)
    (it.out, it.contracted, it.batch, it.ends) = (70, 160, 1, [1])
    let exact: [(epc_format, [Float])] = [
      (EPC_FORMAT_F32, [1, -0.1, 3e-20, 7]), (EPC_FORMAT_BF16, [1, -0.5, 0.0078125, 3.140625]),
      (EPC_FORMAT_INT8, [127, -127, 3, 0]), (EPC_FORMAT_FP8, [448, -0.015625, 0, 3.25]),
      (EPC_FORMAT_MXFP4, [6, -0.5, 1.5, 0]),
    ]
    for (format, values) in exact {
      it.weight = (0..<(70 * 160)).map { values[$0 % 4] }
      #expect(it.packed(format).weight == it.weight, "\(format)")
    }
    it.weight = numbers(70 * 160, 5)
    // The largest error, as a share of the largest element.
    let errors: [(epc_format, Float)] = [
      (EPC_FORMAT_BF16, 0.003), (EPC_FORMAT_INT8, 0.004), (EPC_FORMAT_FP8, 0.036),
      (EPC_FORMAT_MXFP4, 0.17),
    ]
    for (format, bound) in errors {
      let worst = difference(it.packed(format).weight, it.weight) / 1.5
      #expect(worst <= bound && worst > bound / 4, "\(format): \(worst)")
    }
  }
}
