/// Why a backend in a shared library, or a program that works on plans, cannot be used.
public enum PluginError: Error, Hashable, Sendable {
  /// No file of that path.
  case noSuchFile(String)
  /// No installed backend of that name.
  case unknownName(String, known: [String], folders: [String])
  /// The dynamic linker refuses the file.
  case notLoadable(String, reason: String)
  /// The library does not export `epc_backend_query`.
  case noSymbol(String)
  /// The backend refused the host, in its own words.
  case refused(String, reason: String)
  /// The backend was written for another major version.
  case version(String, major: Int, minor: Int)
  /// A struct of a size that no version has.
  case structSize(String, bytes: Int, least: Int)
  /// Functions that must be there are NULL.
  case missingFunctions(String, names: [String])
  /// A text or number that makes no sense.
  case badField(String, field: String, problem: String)
  /// Loading it ended with a signal.
  case crashed(String, signal: Int32)
  /// Loading it took too long.
  case hung(String, seconds: Int)
  /// Loading it ended the process.
  case ended(String, status: Int32)
  /// The child process that tries it could not be started.
  case notStarted(String, reason: String)
  /// `open` failed, in the backend's words.
  case notOpened(String, reason: String)
  /// A program's name without a slash.
  case programWithoutSlash(String)
  /// A program that works on a plan did not.
  case programFailed(String, reason: String)
}

extension PluginError: CustomStringConvertible {
  /// One sentence: what is wrong, and the fix where there is one.
  public var description: String {
    switch self {
    case .noSuchFile(let path): return "\(path): there is no such file"
    case .unknownName(let name, let known, let folders):
      return "no backend is called '\(name)'; known are \(known.joined(separator: ", ")), and a "
        + "path with a slash such as ./lib\(name).so names a library"
        + (folders.isEmpty ? "" : "; looked in \(folders.joined(separator: ", "))")
    case .notLoadable(let path, let reason): return "\(path): cannot be loaded: \(reason)"
    case .noSymbol(let path):
      return "\(path): does not export 'epc_backend_query', so it is no backend"
    case .refused(let path, let reason): return "\(path): refuses this epc: \(reason)"
    case .version(let path, let major, let minor):
      return "\(path): speaks version \(major).\(minor) of the backend ABI, this epc speaks "
        + "\(BackendLibrary.abi.major).\(BackendLibrary.abi.minor); build it against this epc's "
        + "epc_backend.h"
    case .structSize(let path, let bytes, let least):
      return
        "\(path): its epc_backend says it has \(UInt(bitPattern: bytes)) bytes, and version 1.0 has \(least); "
        + "set struct_size to sizeof(epc_backend)"
    case .missingFunctions(let path, let names):
      return "\(path): \(names.joined(separator: ", ")) must not be NULL"
    case .badField(let path, let field, let problem): return "\(path): its \(field) \(problem)"
    case .crashed(let path, let signal):
      return "\(path): crashes when it is loaded: signal \(signal)"
    case .hung(let path, let seconds):
      return "\(path): is not loaded within \(seconds) s; '--backend-timeout' allows more"
    case .ended(let path, let status):
      return "\(path): ends the process when it is loaded, with status \(status)"
    case .notStarted(let path, let reason):
      return "\(path): the process that tries it could not be started: \(reason)"
    case .notOpened(let path, let reason): return "\(path): cannot be opened: \(reason)"
    case .programWithoutSlash(let name):
      return "'\(name)' names no program; write a path with a slash, such as ./\(name)"
    case .programFailed(let path, let reason): return "\(path): \(reason)"
    }
  }
}
