public import EPBackend

/// A simulated device with tensors: another device's kernels, on memory that other processes can read.
public struct SimulatedDevice<Base: Device>: ForwardingDevice {
  /// The other device.
  public let base: Base
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
}
