import Glibc

/// A file mapped read-only into memory, unmapped with the last reference to it.
///
/// Pages are read when they are first touched. A file that someone shortens while it is mapped
/// ends the process with a bus error on the next touch of a lost page.
@safe
final class MappedFile: @unchecked Sendable {
  /// The path it was opened under, for messages.
  let path: String
  /// The last component of the path.
  let name: String
  /// The length of the file in bytes.
  let byteCount: Int
  /// The mapping, nil for an empty file, which cannot be mapped.
  private let base: UnsafeMutableRawPointer?

  /// Maps the file at `path`, which must be a regular file or a link to one.
  ///
  /// - Parameter randomAccess: tells the system not to read ahead of the pages touched.
  init(path: String, randomAccess: Bool) throws(CheckpointError) {
    self.path = path
    self.name = path.split(separator: "/").last.map(String.init) ?? path
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw .system(operation: "open", file: path, code: errno)
    }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw .system(operation: "inspect", file: path, code: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile(file: path) }
    guard let size = Int(exactly: status.st_size) else {
      throw .system(operation: "map", file: path, code: EFBIG)
    }
    self.byteCount = size
    guard size > 0 else {
      unsafe self.base = nil
      return
    }
    let mapping = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
      throw .system(operation: "map", file: path, code: errno)
    }
    unsafe self.base = mapping
    if randomAccess { _ = unsafe madvise(mapping, size, MADV_RANDOM) }
  }

  deinit {
    if let base = unsafe base { _ = unsafe munmap(base, byteCount) }
  }

  /// All the bytes of the file; the pointer is good for as long as this object lives.
  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: base, count: byteCount)
  }
}

/// Some bytes of a mapped file, together with what keeps them mapped.
struct MappedBytes: Sendable {
  let file: MappedFile
  let range: Range<Int>

  /// Calls `body` with the bytes, which stay mapped during the call.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    withExtendedLifetime(file) {
      unsafe body(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
    }
  }
}
