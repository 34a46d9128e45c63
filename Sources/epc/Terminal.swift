import EPIR
import EPJSON
import EPModel
import EPPlan
import Glibc

/// What goes to the terminal, and what comes from the environment.
enum Terminal {
  /// Writes text to stdout. A reader that went away ends the command quietly, as it should; what cannot be
  /// written for another reason, such as a full disk, ends it with an error.
  static func print(_ text: String) {
    if write(text, to: STDOUT_FILENO) || errno == EPIPE { return }
    error("error: stdout cannot be written: \(unsafe String(cString: strerror(errno)))")
    exit(1)
  }

  /// Writes a document to stdout as JSON.
  static func print(_ document: Document) throws(Diagnostics) {
    do {
      let bytes = try document.jsonValue.serialized(style: .pretty)
      print(String(decoding: bytes, as: UTF8.self))
    } catch { throw Diagnostics("json", "\(error)") }
  }

  /// Opens the three streams that were closed, so that no file a command opens takes the place of one.
  static func openStreams() {
    for stream in STDIN_FILENO...STDERR_FILENO where fcntl(stream, F_GETFD) < 0 {
      // The lowest number that is free, which is this one.
      _ = unsafe open("/dev/null", O_RDWR)
    }
  }

  /// Writes a line to stderr.
  static func error(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

  /// Writes to stderr without ending the line.
  static func draw(_ text: String) { write(text, to: STDERR_FILENO) }

  @discardableResult
  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = unsafe rest.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if written < 0 && errno == EINTR { continue }
      if written <= 0 { return false }
      rest = rest.dropFirst(written)
    }
    return true
  }

  /// Whether stdout is a terminal that takes colours.
  static var takesColour: Bool {
    isatty(STDOUT_FILENO) == 1 && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
  }

  /// Columns of the terminal, 100 where there is none.
  static var width: Int {
    var size = winsize()
    let isKnown =
      unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col >= 60
    return isKnown ? min(Int(size.ws_col), 140) : 100
  }

  /// The environment.
  static let environment: [String: String] = {
    var result: [String: String] = [:]
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
      let pair = unsafe String(cString: text)
      if let equals = pair.firstIndex(of: "=") {
        result[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
      }
      unsafe entry = unsafe entry.advanced(by: 1)
    }
    return result
  }()

  /// The path of the running executable.
  static let executable: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = unsafe buffer.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return 0 }
      return unsafe readlink("/proc/self/exe", start, bytes.count)
    }
    return length > 0 ? String(decoding: buffer.prefix(length), as: UTF8.self) : ""
  }()

  /// Writes a file whole or not at all; `-` is stdout.
  static func save(_ bytes: [UInt8], to path: String) throws(Diagnostics) {
    if path == "-" {
      print(String(decoding: bytes, as: UTF8.self))
      return
    }
    do { try JSONFile.write(bytes, to: path) } catch {
      throw Diagnostics("write", error.description)
    }
  }

  /// Refuses a path for a file whose folder is not there or cannot be written to.
  static func requireFolder(of path: String) throws(Diagnostics) {
    if path == "-" { return }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    if unsafe access(folder, W_OK) == 0 { return }
    throw Diagnostics(
      "write", "'\(path)' cannot be written: there is no folder '\(folder)' to write to")
  }

  /// Reads a file.
  static func read(_ path: String, maxBytes: Int) throws(Diagnostics) -> [UInt8] {
    do { return try JSONFile.read(path, maxBytes: maxBytes) } catch {
      throw Diagnostics("read", error.description)
    }
  }
}
