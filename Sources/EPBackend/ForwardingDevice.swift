/// A device that leaves rows to another one: packing, scattering, adding up and copying them.
public protocol ForwardingDevice: Device {
  /// The other device.
  associatedtype Base: Device

  /// What does it.
  var base: Base { get }
}

extension ForwardingDevice {
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

  /// Adds arrays up; see `Device`.
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
