import Glibc

/// A file that appears under its name only when it is complete.
struct OutputFile: ~Copyable {
  private let path: String
  private let temporary: String
  private let descriptor: Int32

  /// Creates a file beside `path`, with which it changes places in `commit`. A device or a pipe is refused.
  init(replacing path: String) throws(CheckpointError) {
    self.path = path
    var status = stat()
    if unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG {
      throw .notAFile(file: path)
    }
    while true {
      let name = "\(path).\(String(UInt64.random(in: 0...(.max)), radix: 36)).tmp"
      let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      if descriptor >= 0 {
        self.temporary = name
        self.descriptor = descriptor
        return
      }
      guard errno == EEXIST || errno == EINTR else {
        throw .system(operation: "create", file: path, code: errno)
      }
    }
  }

  /// Appends the elements as they are in memory.
  mutating func write<Element: BitwiseCopyable>(_ values: [Element]) throws(CheckpointError) {
    let code = unsafe values.withUnsafeBytes { bytes -> Int32 in
      var rest = unsafe bytes[...]
      while unsafe !rest.isEmpty {
        let count = unsafe Glibc.write(
          descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count < 0 && errno != EINTR { return errno }
        unsafe rest = rest.dropFirst(max(count, 0))
      }
      return 0
    }
    guard code == 0 else { throw .system(operation: "write", file: path, code: code) }
  }

  /// Syncs the file to disk and gives it its name.
  consuming func commit() throws(CheckpointError) {
    let isSynced = fsync(descriptor) == 0
    var code = isSynced ? 0 : errno
    if close(descriptor) != 0 && code == 0 && errno != EINTR { code = errno }
    if code == 0, unsafe rename(temporary, path) != 0 { code = errno }
    guard code == 0 else {
      unsafe _ = unlink(temporary)
      throw .system(operation: "write", file: path, code: code)
    }
  }

  /// Removes what has been written.
  consuming func discard() {
    close(descriptor)
    unsafe _ = unlink(temporary)
  }
}
