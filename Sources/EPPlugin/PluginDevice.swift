internal import CEPBackend
public import EPBackend
public import EPBackendCPU

/// A device whose kernels, or whole programs, are those of a backend in a shared library.
///
/// What ranks meet in is the executor's, and the rows it packs and adds up are the host's work: the
/// backend has kernels, in memory of the host, and decides what runs when if it takes whole programs.
public struct PluginDevice: ForwardingDevice {
  let instance: PluginInstance
  /// What moves rows.
  public let base: ReferenceDevice = ReferenceDevice()
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
