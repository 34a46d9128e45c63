import Glibc

/// A file open for reading until the last reference to it goes.
///
/// Bytes are read, not mapped: a file that somebody shortens is an error that says so, and what is read
/// takes no memory but what it is read to.
@safe
final class OpenFile: Sendable {
  /// The path it was opened under, for messages.
  let path: String
  /// The last component of the path.
  let name: String
  /// The length of the file in bytes, when it was opened.
  let byteCount: Int
  /// The file, whatever its path leads to later.
  let descriptor: Int32

  /// Opens the file at `path`, which must be a regular file or a link to one.
  init(path: String) throws(CheckpointError) {
    self.path = path
    self.name = path.split(separator: "/").last.map(String.init) ?? path
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw .system(operation: "open", file: path, code: errno)
    }
    var status = stat()
    var fault: CheckpointError?
    if unsafe fstat(descriptor, &status) != 0 {
      fault = .system(operation: "inspect", file: path, code: errno)
    } else if status.st_mode & S_IFMT != S_IFREG {
      fault = .notAFile(file: path)
    }
    if let fault {
      close(descriptor)
      throw fault
    }
    self.descriptor = descriptor
    byteCount = Int(status.st_size)
  }

  deinit { close(descriptor) }

  /// Reads some bytes, which lie in the file as it was opened.
  ///
  /// - Throws: `CheckpointError.endsEarly` where the file has become shorter, `.readFailed`.
  func read(
    _ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= byteCount && buffer.count == range.count,
      "what is read is in the file, and has the size of the buffer")
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < range.count {
      let offset = range.lowerBound + done
      let got = unsafe pread(descriptor, base + done, range.count - done, off_t(offset))
      if got < 0 && errno == EINTR { continue }
      if got < 0 { throw .readFailed(file: path, offset: offset, code: errno) }
      if got == 0 { throw .endsEarly(file: path, offset: offset, length: range.upperBound) }
      done += got
    }
  }

  /// Some bytes of the file.
  func bytes(_ range: Range<Int>) throws(CheckpointError) -> [UInt8] {
    var failure: CheckpointError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      do throws(CheckpointError) {
        unsafe try read(
          range,
          into: UnsafeMutableRawBufferPointer(
            rebasing: UnsafeMutableRawBufferPointer(buffer)[..<range.count]))
        count = range.count
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Asks for some bytes ahead of their use, without waiting for them.
  func prefetch(_ range: Range<Int>) {
    _ = posix_fadvise(
      descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_WILLNEED)
  }
}

/// Some bytes of an open file, together with what keeps it open; they are taken from where they were
/// read to already, if they were.
struct FileBytes: Sendable {
  let file: OpenFile
  /// Which of the checkpoint's files that is.
  let fileIndex: Int
  let range: Range<Int>
  /// Where some of them were read to.
  var staged: StagedBytes?

  /// Calls `body` with all the bytes, which are good during the call.
  func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(CheckpointError) -> Result {
    unsafe try withBytes(0..<range.count, body)
  }

  /// Calls `body` with some of the bytes, counted from the first.
  func withBytes<Result>(
    _ part: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(CheckpointError) -> Result {
    let place = place(part)
    precondition(place.bytes.upperBound <= range.upperBound, "a part of a tensor lies inside it")
    if let staged { return unsafe staged.withBytes(place, body) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 16)
    defer { unsafe buffer.deallocate() }
    unsafe try file.read(place.bytes, into: buffer)
    return unsafe body(UnsafeRawBufferPointer(buffer))
  }

  /// Where some of the bytes are in the file.
  func place(_ part: Range<Int>) -> FileRange {
    FileRange(
      file: fileIndex,
      bytes: (range.lowerBound + part.lowerBound)..<(range.lowerBound + part.upperBound))
  }
}
