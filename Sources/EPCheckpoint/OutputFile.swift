import CEPCheckpoint
import Glibc

/// A file that appears under its name only when it is complete.
struct OutputFile: ~Copyable {
  private let path: String
  /// A name beside `path`, by which one file replaces another at once.
  private let temporary: String
  /// Whether the file has that name from the start, since the file system keeps none without a name. One without
  /// is gone with the process, however that ends.
  private let isNamed: Bool
  private let descriptor: Int32

  /// Creates a file in the folder of `path`, whose place it takes in `commit`. A device or a pipe is refused.
  init(replacing path: String) throws(CheckpointError) {
    var status = stat()
    if unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG {
      throw .notAFile(file: path)
    }
    let temporary = "\(path).\(String(UInt64.random(in: 0...(.max)), radix: 36)).tmp"
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let unnamed = unsafe epc_unnamed_open(folder)
    let descriptor =
      unnamed < 0
      ? unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) : unnamed
    if descriptor < 0 { throw .system(operation: "create", file: path, code: errno) }
    self.path = path
    self.temporary = temporary
    self.descriptor = descriptor
    isNamed = unnamed < 0
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
    if code == 0, !isNamed, unsafe epc_unnamed_link(descriptor, temporary) != 0 { code = errno }
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
