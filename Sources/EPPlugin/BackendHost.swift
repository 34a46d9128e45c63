internal import CEPBackend
internal import CEPSystem
internal import Glibc
internal import Synchronization

/// What the host offers a backend: a place for its messages, and a way to ask it to stop.
///
/// The C table that backends are handed lives as long as the process, as the ABI promises, and so
/// does this.
@safe
public final class BackendHost: Sendable {
  /// How long one call of a backend may take; nil if calls are not watched over.
  public let seconds: Int?
  /// Takes a message for the user; `isWarning` tells how important it is.
  let log: @Sendable (_ message: String, _ isWarning: Bool) -> Void
  /// Whether backends are to stop.
  let isCancelled = Atomic<Bool>(false)
  nonisolated(unsafe) let table: UnsafePointer<epc_host>

  /// Makes a host. A call that crashes or takes longer than `seconds` ends the process with one line
  /// on standard error and status 1; where it is nil, a crash is a crash.
  public init(
    seconds: Int?, log: @escaping @Sendable (_ message: String, _ isWarning: Bool) -> Void
  ) {
    self.seconds = seconds.map { min(max($0, 1), 1_000_000) }
    self.log = log
    let table = UnsafeMutablePointer<epc_host>.allocate(capacity: 1)
    unsafe table.initialize(to: epc_host())
    unsafe self.table = UnsafePointer(table)
    unsafe table.pointee.struct_size = MemoryLayout<epc_host>.size
    unsafe table.pointee.major = Int64(EPC_BACKEND_MAJOR)
    unsafe table.pointee.minor = Int64(EPC_BACKEND_MINOR)
    unsafe table.pointee.context = Unmanaged.passRetained(self).toOpaque()
    unsafe table.pointee.log = { context, level, message in
      guard let context = unsafe context, let message = unsafe message else { return }
      let host = unsafe Unmanaged<BackendHost>.fromOpaque(context).takeUnretainedValue()
      let length = unsafe strnlen(message, 4096)
      let bytes = unsafe UnsafeBufferPointer(start: message, count: length)
      let text = unsafe String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      host.log(BackendLibrary.printable(text), level != Int64(EPC_LOG_NOTE))
    }
    unsafe table.pointee.is_cancelled = { context in
      guard let context = unsafe context else { return 0 }
      let host = unsafe Unmanaged<BackendHost>.fromOpaque(context).takeUnretainedValue()
      return host.isCancelled.load(ordering: .relaxed) ? 1 : 0
    }
  }

  /// Asks backends to stop, or no longer.
  public func cancel(_ isCancelled: Bool = true) {
    self.isCancelled.store(isCancelled, ordering: .relaxed)
  }

  /// An error of the host's, which whoever gets it releases.
  static func error(_ code: Int, _ message: String) -> UnsafeMutablePointer<epc_error> {
    let error = UnsafeMutablePointer<epc_error>.allocate(capacity: 1)
    unsafe error.initialize(to: epc_error())
    unsafe error.pointee.struct_size = MemoryLayout<epc_error>.size
    unsafe error.pointee.code = Int64(code)
    unsafe error.pointee.message = UnsafePointer(strdup(message))
    unsafe error.pointee.release = { error in
      guard let error = unsafe error else { return }
      unsafe free(UnsafeMutableRawPointer(mutating: error.pointee.message))
      unsafe error.deallocate()
    }
    return unsafe error
  }

  /// Begins to watch a call of a backend from this thread.
  func beginCall(_ who: String, _ what: String) {
    if let seconds { unsafe epc_guard_begin(who, what, UInt32(seconds) * 1000) }
  }

  /// Ends the watch.
  func endCall() {
    if seconds != nil { epc_guard_end() }
  }
}
