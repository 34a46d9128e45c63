internal import CEPBackend
internal import Glibc

/// A backend's shared library: loaded, its version agreed on, its table checked. Never unloaded.
@safe
public final class BackendLibrary: @unchecked Sendable {
  /// The version of the ABI that this epc speaks.
  public static let abi = (major: Int(EPC_BACKEND_MAJOR), minor: Int(EPC_BACKEND_MINOR))

  /// How kernels compute.
  public enum Precision: String, Hashable, Sendable, CaseIterable {
    case fp32, bf16, fp16, fp8
  }

  /// The file, as an absolute path.
  public let path: String
  /// What the backend calls itself.
  public let name: String
  /// Its own version.
  public let version: String
  /// The version of the ABI that it was written for.
  public let abi: (major: Int, minor: Int)
  /// How its kernels compute.
  public let precision: Precision
  let table: UnsafePointer<epc_backend>
  private let query: epc_backend_query_function
  private let kept = CData()
  let host: BackendHost

  /// Loads a library. `BackendProbe` should have tried it in another process before.
  public init(loading file: String, host: BackendHost) throws(PluginError) {
    // An absolute path, so that the dynamic linker searches nowhere.
    guard let resolved = unsafe realpath(file, nil) else { throw .noSuchFile(file) }
    path = unsafe String(cString: resolved)
    unsafe free(resolved)
    self.host = host
    host.beginCall(path, "loading")
    defer { host.endCall() }
    guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw .notLoadable(file, reason: BackendLibrary.linkerError(without: path))
    }
    guard let symbol = unsafe dlsym(handle, EPC_BACKEND_QUERY) else { throw .noSymbol(file) }
    let query = unsafe unsafeBitCast(symbol, to: epc_backend_query_function.self)
    unsafe self.query = unsafe query
    var error: UnsafeMutablePointer<epc_error>?
    guard let table = unsafe query(host.table, &error) else {
      throw .refused(
        file, reason: unsafe BackendLibrary.take(error)?.message ?? "it does not say why")
    }
    unsafe self.table = unsafe table
    let checked = try unsafe BackendLibrary.check(table, file)
    (name, version, precision) = (checked.name, checked.version, checked.precision)
    abi = unsafe (Int(table.pointee.major), Int(table.pointee.minor))
  }

  /// The major version of the table that a host of another version gets; nil where it is refused.
  func answer(toMajor major: Int) -> Int? {
    var other = unsafe host.table.pointee
    unsafe other.major = Int64(major)
    // Kept, since a backend may keep it.
    let table = unsafe kept.make(other)
    host.beginCall("the backend '\(name)'", "query by another host")
    defer { host.endCall() }
    var error: UnsafeMutablePointer<epc_error>?
    let answer = unsafe query(table, &error)
    _ = unsafe BackendLibrary.take(error)
    return unsafe answer.map { unsafe Int($0.pointee.major) }
  }

  private static func linkerError(without path: String) -> String {
    guard let text = unsafe dlerror() else { return "no reason given" }
    let message = unsafe String(cString: text)
    return message.hasPrefix(path + ": ") ? String(message.dropFirst(path.count + 2)) : message
  }

  /// Looks at everything before anything of it is used.
  private static func check(
    _ table: UnsafePointer<epc_backend>, _ file: String
  ) throws(PluginError) -> (name: String, version: String, precision: Precision) {
    // Where version 1.0 ends; what is behind is looked at only if the backend knows it.
    let least = unsafe MemoryLayout<epc_backend>.offset(of: \.release).map { $0 + 8 } ?? 0
    let size = unsafe table.pointee.struct_size
    if size < least || size > 1 << 16 {
      throw .structSize(file, bytes: size, least: least)
    }
    let (major, minor) = unsafe (table.pointee.major, table.pointee.minor)
    guard major == Int64(EPC_BACKEND_MAJOR), minor >= 0, minor < 1 << 16 else {
      throw .version(file, major: Int(major), minor: Int(minor))
    }
    let missing = unsafe missingFunctions(table)
    if !missing.isEmpty { throw .missingFunctions(file, names: missing) }
    let number = unsafe table.pointee.precision
    let precisions: [Int: Precision] = [
      EPC_PRECISION_FP32: .fp32, EPC_PRECISION_BF16: .bf16, EPC_PRECISION_FP16: .fp16,
      EPC_PRECISION_FP8: .fp8,
    ]
    guard let precision = precisions[Int(number)] else {
      throw .badField(file, field: "precision", problem: "is \(number), none of EPC_PRECISION_*")
    }
    return try unsafe (
      text(table.pointee.name, "name", file), text(table.pointee.version, "version", file),
      precision
    )
  }

  /// The functions that must be there and are not: those for kernels or those for whole programs.
  private static func missingFunctions(_ table: UnsafePointer<epc_backend>) -> [String] {
    let kernels = unsafe [
      ("prepare", table.pointee.prepare == nil),
      ("run_operation", table.pointee.run_operation == nil),
    ]
    if unsafe !knowsPrograms(table) { return kernels.filter(\.1).map(\.0) }
    let programs = unsafe [
      ("open_program", table.pointee.open_program == nil),
      ("run_step", table.pointee.run_step == nil),
      ("close_program", table.pointee.close_program == nil),
    ]
    // None of a set is as good as all of it, as long as one of the sets is there.
    let absent = [kernels, programs].map { $0.allSatisfy(\.1) }
    if absent[0] && absent[1] { return kernels.map(\.0) }
    return (absent[0] ? [] : kernels.filter(\.1).map(\.0))
      + (absent[1] ? [] : programs.filter(\.1).map(\.0))
  }

  /// Whether a table goes as far as the functions for whole programs, which 1.1 added.
  private static func knowsPrograms(_ table: UnsafePointer<epc_backend>) -> Bool {
    let end = unsafe MemoryLayout<epc_backend>.offset(of: \.close_program).map { $0 + 8 } ?? .max
    return unsafe table.pointee.struct_size >= end
  }

  /// Whether the backend takes whole programs of ranks.
  public var hasPrograms: Bool {
    unsafe BackendLibrary.knowsPrograms(table) && table.pointee.open_program != nil
  }

  /// Whether it has kernels.
  public var hasKernels: Bool { unsafe table.pointee.prepare != nil }

  private static func text(
    _ text: UnsafePointer<CChar>?, _ field: String, _ file: String
  ) throws(PluginError) -> String {
    guard let text = unsafe text else { throw .badField(file, field: field, problem: "is NULL") }
    let length = unsafe strnlen(text, 65)
    let bytes = unsafe UnsafeBufferPointer(start: text, count: length)
    let isPlain = unsafe bytes.allSatisfy { $0 > 32 && $0 < 127 }
    guard (1...64).contains(length), isPlain else {
      throw .badField(
        file, field: field, problem: "is not 1 to 64 letters, digits and signs without spaces")
    }
    return unsafe String(cString: text)
  }

  /// Takes an error over: its code and message, after which it is released.
  static func take(
    _ error: UnsafeMutablePointer<epc_error>?
  ) -> (code: Int, message: String)? {
    guard let error = unsafe error else { return nil }
    let code = unsafe Int(error.pointee.code)
    var message = "error \(code)"
    if let text = unsafe error.pointee.message {
      let length = unsafe strnlen(text, 4096)
      let bytes = unsafe UnsafeBufferPointer(start: text, count: length)
      message = printable(
        unsafe String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    if let release = unsafe error.pointee.release { unsafe release(error) }
    return (code, message)
  }

  /// The text without what would make a terminal do things.
  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
  }
}
