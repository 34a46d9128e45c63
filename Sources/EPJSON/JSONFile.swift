import Glibc

/// Reads whole files within a limit, and replaces them atomically.
public enum JSONFile {
  /// The bytes of a file, which may be a pipe; throws when there are more than `maxBytes`.
  public static func read(
    _ path: String, maxBytes: Int = JSONLimits().maxBytes
  ) throws(JSONError) -> [UInt8] {
    let file = try open(path, O_RDONLY | O_CLOEXEC)
    defer { _ = close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe Glibc.read(file, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw failure(to: "read", path) }
      if count == 0 { return bytes }
      if bytes.count + count > maxBytes {
        throw JSONError(path: "", message: "the file is longer than \(maxBytes) bytes", file: path)
      }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Replaces a file as a whole: a reader sees the old bytes or the new ones, never a part.
  ///
  /// The bytes go to a new file in the same folder, of mode 0644 less the umask, which is renamed
  /// when it is complete and removed when that fails. A symbolic link is followed. What is not a
  /// regular file, such as `/dev/null` or a pipe, is written in place. Nothing is synced to disk.
  public static func write(_ bytes: [UInt8], to path: String) throws(JSONError) {
    try refuseNUL(path)
    let target = resolve(path)
    var status = stat()
    if unsafe stat(target, &status) == 0 && status.st_mode & S_IFMT != S_IFREG {
      let file = try open(path, O_WRONLY | O_CLOEXEC)
      return try writeAll(bytes, file, path)
    }
    let (file, temporary) = try makeTemporary(beside: target, for: path)
    do throws(JSONError) {
      try writeAll(bytes, file, path)
      if unsafe rename(temporary, target) != 0 { throw failure(to: "write", path) }
    } catch {
      unsafe _ = unlink(temporary)
      throw error
    }
  }

  /// The path without symbolic links; the path itself when nothing is there yet.
  private static func resolve(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  private static func makeTemporary(
    beside target: String, for path: String
  ) throws(JSONError) -> (Int32, String) {
    let folder = target.utf8.lastIndex(of: UInt8(ascii: "/")).map { target[...$0] } ?? ""
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
    while true {
      let name = "\(folder).epc-\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
      let file = unsafe Glibc.open(name, flags, 0o644)
      if file >= 0 { return (file, name) }
      if errno != EEXIST && errno != EINTR { throw failure(to: "create", path) }
    }
  }

  /// Writes everything and closes the file, whatever happens.
  private static func writeAll(
    _ bytes: [UInt8], _ file: Int32, _ path: String
  ) throws(JSONError) {
    var offset = 0
    while offset < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(file, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 {
        let error = failure(to: "write", path)
        _ = close(file)
        throw error
      }
      offset += count
    }
    // A network file system reports a full disk only here.
    if close(file) != 0 && errno != EINTR { throw failure(to: "write", path) }
  }

  private static func open(_ path: String, _ flags: Int32) throws(JSONError) -> Int32 {
    try refuseNUL(path)
    while true {
      let file = unsafe Glibc.open(path, flags)
      if file >= 0 { return file }
      if errno != EINTR { throw failure(to: "open", path) }
    }
  }

  /// Refuses a path that the system would cut.
  private static func refuseNUL(_ path: String) throws(JSONError) {
    if path.utf8.contains(0) {
      throw JSONError(path: "", message: "a path cannot hold U+0000", file: printable(path))
    }
  }

  /// The error for the current `errno`.
  private static func failure(to verb: String, _ path: String) -> JSONError {
    let reason = unsafe String(cString: strerror(errno))
    return JSONError(path: "", message: "cannot \(verb) the file: \(reason)", file: path)
  }
}
