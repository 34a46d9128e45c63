internal import CEPKernels
public import EPBackend
internal import Synchronization

/// The host's processor, with packed weights, vector instructions and threads.
///
/// Results do not depend on the number of threads, nor those of a row on the rows beside it; by
/// instruction set they differ in rounding.
public struct CPUDevice: Device {
  /// How matrices are kept.
  public let weights: WeightFormat
  /// The instructions used.
  public let level: CPULevel
  let pool: CPUThreads
  let reference = ReferenceSeconds()

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - weights: how matrices are kept.
  ///   - threads: how many threads share the work, the caller included.
  ///   - level: the instructions to use, as far as the machine has them.
  public init(
    weights: WeightFormat = .fp32, threads: Int = 1, level: CPULevel = CPULevel.chosen
  ) {
    self.weights = weights
    self.level = min(level, CPULevel.best)
    pool = CPUThreads(threads)
  }

  /// Seconds spent in reference kernels so far, by kind of operation: those that have no fast kernel.
  public var referenceSeconds: [String: Double] { reference.withLock { $0 } }

  /// Threads that share the work.
  public var threads: Int { pool.count }

  /// `cpu`.
  public var name: String { "cpu" }

  /// Takes memory of the host.
  public func allocate(bytes: Int) -> Storage { Storage(bytes: bytes) }

  /// Makes an operation ready; collectives are the executor's.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> FastKernel {
    try FastKernel(operation, weights: weights)
  }

  /// The form of a weight; see `Device`.
  public func form(ofOperand operand: Int, of kernel: FastKernel) -> WeightForm? {
    kernel.form(ofOperand: operand)
  }

  /// The form of weights that stay in order and are rounded.
  static let halves = "bf16 rows"

  /// Packs rows of a matrix; see `Device`.
  public func prepare(
    _ part: EncodedRows, rows: Range<Int>, as form: WeightForm, to result: Memory
  ) -> Bool {
    let scales = part.scales
    return unsafe (scales?.values ?? []).withUnsafeBufferPointer { values in
      var encoded = unsafe epc_encoded(
        encoding: part.encoding.value, rows: part.base, stride: part.stride,
        scales: values.baseAddress, scale_stride: scales?.stride ?? 0,
        block_rows: scales?.blockRows ?? 1, block_columns: scales?.blockColumns ?? 1,
        first_row: scales?.firstRow ?? 0, first_column: scales?.firstColumn ?? 0)
      if form.name == CPUDevice.halves {
        let first = 2 * rows.lowerBound * form.columns
        return unsafe epc_round_encoded(
          &encoded, rows.count, form.columns,
          (result.base + first).assumingMemoryBound(to: UInt16.self))
      }
      guard let format = WeightFormat(rawValue: form.name) else {
        preconditionFailure("'\(form.name)' is no form of weights")
      }
      let panels = (rows.lowerBound / form.rowsTogether)..<epc_packed_panels(rows.upperBound)
      return unsafe epc_pack_encoded(
        format.format, &encoded, form.rows, form.columns, panels.lowerBound, panels.upperBound,
        result.base)
    }
  }

  /// Runs an operation on the rows of a step; see `Device`.
  public func run(_ kernel: FastKernel, _ arguments: OpArguments, _ step: StepState) {
    kernel.run(arguments, step, on: self)
  }

  /// Gathers rows; see `Device`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) {
    share(count, width: width) { range, _ in
      let first = range.lowerBound
      unsafe epc_ref_pack(
        x.reals, width, rows.indices + first, scales.map { unsafe UnsafePointer($0.reals + first) },
        range.count, result.reals + first * width)
    }
  }

  /// Scatters rows; see `Device`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    share(count, width: width) { range, _ in
      let first = range.lowerBound
      unsafe epc_ref_unpack(
        x.reals + first * width, width, places.indices + first, range.count, result.reals)
    }
  }

  /// Adds arrays up; see `Device`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    unsafe epc_ref_sum_blocks(x.reals, blocks, count, result.reals)
  }

  /// Sums what experts returned; see `Device`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    var sums = unsafe epc_combination(
      returned: combination.returned.reals, places: combination.places.indices,
      indices: combination.indices.indices, weights: combination.weights.reals,
      identity: UnsafePointer(combination.identity?.reals), experts: combination.experts,
      unweighted: combination.isUnweighted, rows: combination.rows, top_k: combination.topK,
      width: combination.width)
    unsafe epc_combine_run(pool.pool, level.level, &sums, result.reals)
  }

  /// Copies blocks; see `Device`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    unsafe epc_ref_copy_blocks(x.reals, stride, result.reals, resultStride, count, outer)
  }
}

extension EncodedRows.Encoding {
  var value: epc_encoding {
    switch self {
    case .fp32: EPC_ENCODED_F32
    case .fp16: EPC_ENCODED_F16
    case .bf16: EPC_ENCODED_BF16
    case .fp8: EPC_ENCODED_FP8
    }
  }
}

/// Seconds by kind of operation.
final class ReferenceSeconds: Sendable {
  private let seconds = Mutex<[String: Double]>([:])

  func withLock<Result>(_ body: (inout sending [String: Double]) -> sending Result) -> Result {
    seconds.withLock(body)
  }
}
