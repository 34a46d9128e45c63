public import EPBackend
public import EPBackendCPU

/// A simulated device with tensors: the reference kernels on memory that other processes can read.
public struct SimulatedDevice: Device {
  /// Kernels are the CPU device's.
  public typealias Kernel = CPUDevice.Kernel

  private let kernels = CPUDevice()
  private let region: SharedRegion

  /// Makes a device on the memory of a run.
  public init(_ region: SharedRegion) { self.region = region }

  /// The name, as reports show it.
  public var name: String { "simgpu" }

  /// Makes an operation ready.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> Kernel {
    try kernels.makeKernel(operation)
  }

  /// Takes zeroed memory of the run.
  public func allocate(bytes: Int) -> Storage { region.allocate(bytes: bytes) }

  /// Runs an operation on the rows of a step.
  public func run(_ kernel: Kernel, _ arguments: OpArguments, _ step: StepState) {
    kernels.run(kernel, arguments, step)
  }

  /// Gathers rows; see `Device.pack`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) {
    kernels.pack(x, width: width, rows: rows, scales: scales, count: count, to: result)
  }

  /// Scatters rows; see `Device.unpack`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    kernels.unpack(x, width: width, places: places, count: count, to: result)
  }

  /// Sums blocks; see `Device.sum`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    kernels.sum(x, blocks: blocks, count: count, to: result)
  }

  /// Sums what came back from experts; see `Device.combine`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    kernels.combine(combination, to: result, step)
  }

  /// Copies blocks; see `Device.copy`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    kernels.copy(
      x, stride: stride, to: result, resultStride: resultStride, count: count, outer: outer)
  }
}
