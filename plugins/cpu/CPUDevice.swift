internal import CEPKernels
public import EPBackend

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
  private let reference = ReferenceDevice()

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

  /// Packs a matrix; see `Device`.
  public func prepare(_ matrix: Memory, as form: WeightForm, to result: Memory) {
    guard let format = WeightFormat(rawValue: form.name) else {
      preconditionFailure("'\(form.name)' is no form of weights")
    }
    let panels = epc_packed_panels(form.rows)
    pool.run(panels) { panel, _ in
      unsafe epc_pack(
        format.format, matrix.reals, form.rows, form.columns, panel, panel + 1, result.base)
    }
  }

  /// Runs an operation on the rows of a step; see `Device`.
  public func run(_ kernel: FastKernel, _ arguments: OpArguments, _ step: StepState) {
    kernel.run(arguments, step, on: self)
  }

  /// Gathers rows; see `Device`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) { reference.pack(x, width: width, rows: rows, scales: scales, count: count, to: result) }

  /// Scatters rows; see `Device`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    reference.unpack(x, width: width, places: places, count: count, to: result)
  }

  /// Adds arrays up; see `Device`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    reference.sum(x, blocks: blocks, count: count, to: result)
  }

  /// Sums what experts returned; see `Device`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    reference.combine(combination, to: result, step)
  }

  /// Copies blocks; see `Device`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    reference.copy(
      x, stride: stride, to: result, resultStride: resultStride, count: count, outer: outer)
  }
}
