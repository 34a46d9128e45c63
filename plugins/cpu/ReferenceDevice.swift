internal import CEPKernels
public import EPBackend

/// The host's processor with the reference kernels: fp32, sums in double, one thread, no haste.
public struct ReferenceDevice: Device {
  /// Makes a device.
  public init() {}

  /// `reference`.
  public var name: String { "reference" }

  /// Takes memory of the host.
  public func allocate(bytes: Int) -> Storage { Storage(bytes: bytes) }

  /// Makes an operation ready; collectives are the executor's.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> CPUKernel {
    try CPUKernel(operation)
  }

  /// Runs an operation; see `Device`.
  public func run(_ kernel: CPUKernel, _ arguments: OpArguments, _ step: StepState) {
    kernel.run(arguments, step)
  }

  /// Gathers rows; see `Device`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) {
    unsafe epc_ref_pack(x.reals, width, rows.indices, scales?.reals, count, result.reals)
  }

  /// Scatters rows; see `Device`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    unsafe epc_ref_unpack(x.reals, width, places.indices, count, result.reals)
  }

  /// Adds arrays up; see `Device`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    unsafe epc_ref_sum_blocks(x.reals, blocks, count, result.reals)
  }

  /// Sums what experts returned; see `Device`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    let scratch = step.scratch.take(bytes: 8 * combination.width)
    unsafe epc_ref_combine(
      combination.returned.reals, combination.places.indices, combination.indices.indices,
      combination.weights.reals, combination.identity?.reals, combination.experts,
      combination.isUnweighted, combination.rows, combination.topK, combination.width,
      scratch.doubles, result.reals)
  }

  /// Copies blocks; see `Device`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    unsafe epc_ref_copy_blocks(x.reals, stride, result.reals, resultStride, count, outer)
  }
}

extension Memory {
  /// The elements as reals of double width.
  var doubles: UnsafeMutablePointer<Double> {
    unsafe base.assumingMemoryBound(to: Double.self)
  }
}
