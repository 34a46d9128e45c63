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
  /// What the file is known by to the system, whatever its path leads to later.
  let identity: (device: UInt64, inode: UInt64)
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
    self.identity = (UInt64(status.st_dev), UInt64(status.st_ino))
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

extension MappedFile {
  /// Asks for some bytes ahead of their use, without waiting for them.
  func prefetch(_ range: Range<Int>) { advise(range, MADV_WILLNEED) }

  /// Takes pages out of this process's memory; they stay in the system's cache for as long as it likes.
  func drop(_ range: Range<Int>) { advise(range, MADV_DONTNEED) }

  private func advise(_ range: Range<Int>, _ advice: Int32) {
    guard let base = unsafe base, !range.isEmpty else { return }
    let page = 4096
    let start = range.lowerBound / page * page
    _ = unsafe madvise(base + start, range.upperBound - start, advice)
  }
}

/// Some bytes of a mapped file, together with what keeps them mapped; they are taken from where they
/// were read to instead, if they were.
struct MappedBytes: Sendable {
  let file: MappedFile
  /// Which of the checkpoint's files that is.
  let fileIndex: Int
  let range: Range<Int>
  /// Where some of them were read to.
  var staged: StagedBytes?

  /// Calls `body` with all the bytes, which stay mapped during the call.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    unsafe withBytes(0..<range.count, body)
  }

  /// Calls `body` with some of the bytes, counted from the first.
  func withBytes<Result>(
    _ part: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    let place = (range.lowerBound + part.lowerBound)..<(range.lowerBound + part.upperBound)
    precondition(place.upperBound <= range.upperBound, "a part of a tensor lies inside it")
    if let staged {
      return unsafe staged.withBytes(FileRange(file: fileIndex, bytes: place), body)
    }
    return withExtendedLifetime(file) {
      unsafe body(UnsafeRawBufferPointer(rebasing: file.bytes[place]))
    }
  }

  /// Where some of the bytes are in the file.
  func place(_ part: Range<Int>) -> FileRange {
    FileRange(
      file: fileIndex,
      bytes: (range.lowerBound + part.lowerBound)..<(range.lowerBound + part.upperBound))
  }
}
