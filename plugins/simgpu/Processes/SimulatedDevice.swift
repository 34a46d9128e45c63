public import EPBackend

/// A simulated device with tensors: another device's kernels, on memory that other processes can read.
public struct SimulatedDevice<Base: Device>: Device {
  private let base: Base
  private let region: SharedRegion

  /// Makes a device on the memory of a run.
  public init(_ base: Base, region: SharedRegion) {
    self.base = base
    self.region = region
  }

  /// `simgpu`.
  public var name: String { "simgpu" }

  /// Takes zeroed memory of the run.
  public func allocate(bytes: Int) -> Storage { region.allocate(bytes: bytes) }

  /// Makes an operation ready.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> Base.Kernel {
    try base.makeKernel(operation)
  }

  /// The form that a kernel wants a weight in; see `Device`.
  public func form(ofOperand operand: Int, of kernel: Base.Kernel) -> WeightForm? {
    base.form(ofOperand: operand, of: kernel)
  }

  /// Makes rows of a matrix ready; see `Device`.
  public func prepare(
    _ part: EncodedRows, rows: Range<Int>, as form: WeightForm, to result: Memory
  ) -> Bool {
    base.prepare(part, rows: rows, as: form, to: result)
  }

  /// Runs an operation on the rows of a step.
  public func run(
    _ kernel: Base.Kernel, _ arguments: OpArguments, _ step: StepState
  ) throws(BackendError) {
    try base.run(kernel, arguments, step)
  }

  /// Gathers rows; see `Device`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) {
    base.pack(x, width: width, rows: rows, scales: scales, count: count, to: result)
  }

  /// Scatters rows; see `Device`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    base.unpack(x, width: width, places: places, count: count, to: result)
  }

  /// Adds blocks up; see `Device`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    base.sum(x, blocks: blocks, count: count, to: result)
  }

  /// Sums what experts returned; see `Device`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    base.combine(combination, to: result, step)
  }

  /// Copies blocks; see `Device`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    base.copy(
      x, stride: stride, to: result, resultStride: resultStride, count: count, outer: outer)
  }
}
