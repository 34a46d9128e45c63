public import EPBackend
internal import EPModel

/// A device with kernels of a library for operations that epc does not know (`custom`).
public struct ExtendedDevice<Base: Device>: ForwardingDevice {
  /// A kernel of the device, or of the library.
  public enum Kernel: Sendable {
    /// The device's.
    case base(Base.Kernel)
    /// The library's.
    case library(PluginKernel)
  }

  /// The device.
  public let base: Base
  private let library: PluginDevice

  /// Adds a library's kernels to a device.
  public init(_ base: Base, library: PluginDevice) {
    self.base = base
    self.library = library
  }

  /// The device's name.
  public var name: String { base.name }

  /// Makes an operation ready where it belongs.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> Kernel {
    guard operation.kind == .custom else { return .base(try base.makeKernel(operation)) }
    return .library(try library.makeKernel(operation))
  }

  /// The form that a kernel of the device wants a weight in; see `Device`.
  public func form(ofOperand operand: Int, of kernel: Kernel) -> WeightForm? {
    guard case .base(let kernel) = kernel else { return nil }
    return base.form(ofOperand: operand, of: kernel)
  }

  /// Makes rows of a matrix ready; see `Device`.
  public func prepare(
    _ part: EncodedRows, rows: Range<Int>, as form: WeightForm, to result: Memory
  ) -> Bool {
    base.prepare(part, rows: rows, as: form, to: result)
  }

  /// Takes memory; see `Device`.
  public func allocate(bytes: Int) -> Storage { base.allocate(bytes: bytes) }

  /// Runs an operation; see `Device`.
  public func run(
    _ kernel: Kernel, _ arguments: OpArguments, _ step: StepState
  ) throws(BackendError) {
    switch kernel {
    case .base(let kernel): try base.run(kernel, arguments, step)
    case .library(let kernel): try kernel.run(arguments, step)
    }
  }
}
