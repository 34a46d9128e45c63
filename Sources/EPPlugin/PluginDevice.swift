internal import CEPBackend
public import EPBackend
internal import EPBackendCPU

/// A device whose kernels, or whole programs, are those of a backend in a shared library.
///
/// What ranks meet in is the executor's, and the rows it packs and adds up are the host's work: the
/// backend has kernels, in memory of the host, and decides what runs when if it takes whole programs.
public struct PluginDevice: Device {
  let instance: PluginInstance
  private let host = ReferenceDevice()
  /// Whether the backend gets whole programs of ranks: at first, if it takes them.
  public private(set) var runsPrograms: Bool

  /// Opens a backend.
  public init(_ library: BackendLibrary) throws(PluginError) {
    instance = try PluginInstance(library)
    runsPrograms = library.hasPrograms
  }

  /// The same backend, operation after operation; nil where it has no kernels.
  public var withKernels: PluginDevice? {
    guard instance.library.hasKernels else { return nil }
    var device = self
    device.runsPrograms = false
    return device
  }

  /// Lets the backend make a rank's program ready.
  public func makeRunner(_ program: PlacedProgram) throws(BackendError) -> any RankRunner {
    try PluginRank(program, instance)
  }

  /// The backend's name.
  public var name: String { instance.library.name }

  /// How its kernels compute.
  public var precision: BackendLibrary.Precision { instance.library.precision }

  /// Takes memory of the host.
  public func allocate(bytes: Int) -> Storage { Storage(bytes: bytes) }

  /// Lets the backend make an operation ready.
  public func makeKernel(_ operation: OpDescription) throws(BackendError) -> PluginKernel {
    try PluginKernel(operation, instance)
  }

  /// Lets the backend run an operation.
  ///
  /// - Throws: `BackendError.failed` with the backend's words.
  public func run(
    _ kernel: PluginKernel, _ arguments: OpArguments, _ step: StepState
  ) throws(BackendError) {
    try kernel.run(arguments, step)
  }

  /// Gathers rows; see `Device`.
  public func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) {
    host.pack(x, width: width, rows: rows, scales: scales, count: count, to: result)
  }

  /// Scatters rows; see `Device`.
  public func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    host.unpack(x, width: width, places: places, count: count, to: result)
  }

  /// Adds arrays up; see `Device`.
  public func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    host.sum(x, blocks: blocks, count: count, to: result)
  }

  /// Sums what experts returned; see `Device`.
  public func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    host.combine(combination, to: result, step)
  }

  /// Copies blocks; see `Device`.
  public func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    host.copy(
      x, stride: stride, to: result, resultStride: resultStride, count: count, outer: outer)
  }
}

/// A backend that has been opened; closed when its last kernel is gone.
@safe
final class PluginInstance: @unchecked Sendable {
  let library: BackendLibrary
  let pointer: OpaquePointer?

  init(_ library: BackendLibrary) throws(PluginError) {
    self.library = library
    guard let open = unsafe library.table.pointee.open else {
      unsafe pointer = nil
      return
    }
    var opened: OpaquePointer?
    library.host.beginCall("the backend '\(library.name)'", "open")
    defer { library.host.endCall() }
    let error = unsafe open(library.host.table, &opened)
    if let error = unsafe BackendLibrary.take(error) {
      throw .notOpened(library.path, reason: error.message)
    }
    unsafe pointer = unsafe opened
  }

  deinit {
    guard let close = unsafe library.table.pointee.close else { return }
    watched("close") { unsafe close(pointer) }
  }

  /// Runs a call of the backend, which may neither crash nor take too long.
  func watched<R>(_ what: String, _ call: () -> R) -> R {
    library.host.beginCall("the backend '\(library.name)'", what)
    defer { library.host.endCall() }
    return call()
  }
}
