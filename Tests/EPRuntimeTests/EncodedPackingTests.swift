import CEPKernels
import Testing

/// Packing straight from what a checkpoint holds, against widening to reals and packing those.
@Suite struct EncodedPackingTests {
  private static let encodings = [
    EPC_ENCODED_F32, EPC_ENCODED_BF16, EPC_ENCODED_F16, EPC_ENCODED_FP8,
  ]

  /// A matrix as stored: rows further apart than they are long, from an odd address.
  private struct Matrix {
    let encoding: epc_encoding
    let (out, columns): (Int, Int)
    let stride: Int
    var bytes: [UInt8]
    var scales: [Float] = []
    let scaleStride: Int
    let block: Int
    let (firstRow, firstColumn): (Int, Int)

    private static func width(_ encoding: epc_encoding) -> Int {
      encoding == EPC_ENCODED_F32 ? 4 : encoding == EPC_ENCODED_FP8 ? 1 : 2
    }

    init(_ encoding: epc_encoding, out: Int, in columns: Int, block: Int, _ seed: Int) {
      self.encoding = encoding
      (self.out, self.columns, self.block) = (out, columns, block)
      var random = SmallGenerator(seed)
      let width = Self.width(encoding)
      stride = columns * width + Int.random(in: 0...9, using: &random)
      firstRow = Int.random(in: 0..<block, using: &random)
      // Blocks of whole groups begin where groups do, or not.
      firstColumn =
        Bool.random(using: &random) ? 0 : Int.random(in: 0..<block, using: &random)
      scaleStride = (firstColumn + columns + block - 1) / block + 1
      bytes = (0..<(1 + out * stride)).map { _ in UInt8.random(in: 0...255, using: &random) }
      for row in 0..<out {
        for column in 0..<columns {
          // No infinities, and no numbers of which the smallest scale is too large.
          let place = 1 + row * stride + column * width
          switch encoding {
          case EPC_ENCODED_F32, EPC_ENCODED_BF16:
            bytes[place + width - 1] = [0x3d, 0xbe, 0x3f].randomElement(using: &random) ?? 0
          case EPC_ENCODED_F16: bytes[place + 1] &= 0xbb
          default: if bytes[place] & 0x7f == 0x7f { bytes[place] = 3 }
          }
        }
      }
      if encoding == EPC_ENCODED_FP8 {
        let rows = (firstRow + out + block - 1) / block
        scales = (0..<(rows * scaleStride)).map { _ in
          Float.random(in: 0.001...0.01, using: &random)
        }
      }
    }

    /// Packs the panels of `range`.
    func pack(_ format: epc_format, _ range: Range<Int>, into packed: inout [UInt8]) -> Bool {
      unsafe bytes.withUnsafeBytes { rows in
        unsafe scales.withUnsafeBufferPointer { scales in
          let first = range.lowerBound * epc_panel_outputs()
          var encoded = unsafe epc_encoded(
            encoding: encoding, rows: rows.baseAddress! + 1 + first * stride, stride: stride,
            scales: scales.baseAddress, scale_stride: scaleStride, block_rows: block,
            block_columns: block, first_row: firstRow + first, first_column: firstColumn)
          return unsafe epc_pack_encoded(
            format, &encoded, out, columns, range.lowerBound, range.upperBound, &packed)
        }
      }
    }

    /// What an element stands for.
    func real(_ row: Int, _ column: Int) -> Float {
      let width = Self.width(encoding)
      let place = 1 + row * stride + column * width
      let code = bytes[place..<(place + width)].reversed().reduce(UInt32(0)) {
        $0 << 8 | UInt32($1)
      }
      switch encoding {
      case EPC_ENCODED_F32: return Float(bitPattern: code)
      case EPC_ENCODED_BF16: return Float(bitPattern: code << 16)
      case EPC_ENCODED_F16: return Float(Float16(bitPattern: UInt16(code)))
      default:
        let exponent = Int(code >> 3 & 15)
        let mantissa = Float(code & 7) / 8
        let size =
          exponent == 0
          ? mantissa / 64
          : (1 + mantissa) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
        let scale = scales[(firstRow + row) / block * scaleStride + (firstColumn + column) / block]
        return (code & 0x80 != 0 ? -size : size) * scale
      }
    }

    var reals: [Float] {
      (0..<(out * columns)).map { real($0 / columns, $0 % columns) }
    }
  }

  @Test(arguments: 0..<40)
  func itIsWhatPackingRealsMakes(seed: Int) {
    var random = SmallGenerator(seed)
    let out = Int.random(in: 1...200, using: &random)
    let columns = [
      Int.random(in: 1...40, using: &random), 32 * Int.random(in: 1...20, using: &random),
      Int.random(in: 200...700, using: &random),
    ][seed % 3]
    for encoding in Self.encodings {
      // Blocks that are no whole number of groups, so that nothing is kept as it is.
      let matrix = Matrix(encoding, out: out, in: columns, block: 96, seed)
      let reals = matrix.reals
      for format in FastLinearTests.formats {
        let bytes = epc_packed_bytes(format, out, columns)
        let panels = epc_packed_panels(out)
        var expected = [UInt8](repeating: 0xaa, count: bytes)
        unsafe epc_pack(format, reals, out, columns, 0, panels, &expected)
        var packed = [UInt8](repeating: 0x55, count: bytes)
        let cut = Int.random(in: 0...panels, using: &random)
        let isFinite = [0..<cut, cut..<panels].allSatisfy {
          matrix.pack(format, $0, into: &packed)
        }
        #expect(isFinite && packed == expected, "\(encoding) to \(format), \(out) x \(columns)")
      }
    }
  }

  @Test(arguments: 0..<20)
  func codesOf8BitFloatsStay(seed: Int) {
    var random = SmallGenerator(seed)
    let (out, columns) = (
      Int.random(in: 1...150, using: &random), Int.random(in: 1...500, using: &random)
    )
    var matrix = Matrix(EPC_ENCODED_FP8, out: out, in: columns, block: 128, seed)
    if matrix.firstColumn != 0 { return }
    // One scale that the format is too coarse for.
    let tiny: Float = 1e-35
    matrix.scales[0] = tiny
    let reals = matrix.reals
    let bytes = epc_packed_bytes(EPC_FORMAT_FP8, out, columns)
    var packed = [UInt8](repeating: 0x55, count: bytes)
    let isFinite = matrix.pack(EPC_FORMAT_FP8, 0..<epc_packed_panels(out), into: &packed)
    #expect(isFinite)
    var unpacked = [Float](repeating: 0, count: out * columns)
    unsafe epc_unpack(EPC_FORMAT_FP8, packed, out, columns, &unpacked)
    for (index, real) in reals.enumerated() {
      let (row, column) = (index / columns, index % columns)
      let scale = matrix.scales[
        (matrix.firstRow + row) / 128 * matrix.scaleStride + column / 128]
      // Below 2^-6 of the scale there are 0 and 2^-6 alone.
      let isKept = abs(real) >= scale / 64 && scale != tiny
      let limit = scale == tiny ? 0x1p-106 : scale / 128
      #expect(isKept ? unpacked[index] == real : abs(unpacked[index] - real) <= limit)
    }
  }

  @Test func whatIsNotFiniteIsSeen() {
    for encoding in Self.encodings {
      for format in FastLinearTests.formats {
        for (row, column) in [(0, 0), (69, 255), (70, 256), (64, 130)] {
          var matrix = Matrix(encoding, out: 71, in: 257, block: 128, 3)
          var packed = [UInt8](repeating: 0, count: epc_packed_bytes(format, 71, 257))
          #expect(matrix.pack(format, 0..<2, into: &packed))
          let width = (matrix.stride >= 4 * 257) ? 4 : matrix.stride >= 2 * 257 ? 2 : 1
          for byte in 0..<width {
            matrix.bytes[1 + row * matrix.stride + column * width + byte] = 0xff
          }
          #expect(!matrix.pack(format, 0..<2, into: &packed), "\(encoding) to \(format)")
        }
      }
    }
    var matrix = Matrix(EPC_ENCODED_FP8, out: 8, in: 8, block: 128, 1)
    matrix.scales[0] = .infinity
    var packed = [UInt8](repeating: 0, count: epc_packed_bytes(EPC_FORMAT_FP8, 8, 8))
    #expect(!matrix.pack(EPC_FORMAT_FP8, 0..<1, into: &packed))
  }
}
