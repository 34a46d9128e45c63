import CEPCheckpoint
import Glibc

/// Memory for reads that go past the page cache: aligned as they need it. It is the system's again as
/// soon as this object goes, which an allocator would not promise.
@safe
final class ReadBuffer: @unchecked Sendable {
  /// The first byte.
  let base: UnsafeMutableRawPointer
  /// Bytes.
  let count: Int
  private let mapping: UnsafeMutableRawPointer
  private let length: Int

  /// Bytes of a large page: a read takes few of them.
  private static let largePage = Int(EPC_READ_PIECE)

  init(count: Int) throws(CheckpointError) {
    let page = ReadBuffer.largePage
    length = count < page ? count : count + page
    let mapping = unsafe mmap(
      nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
      throw .system(operation: "find memory for reads of", file: "a checkpoint", code: errno)
    }
    unsafe self.mapping = mapping
    self.count = count
    if count < page {
      unsafe base = mapping
    } else {
      let address = Int(bitPattern: mapping)
      unsafe base = mapping + ((address + page - 1) / page * page - address)
      // The rest is in small pages, so that nothing beyond it is taken.
      _ = unsafe madvise(base, count / page * page, MADV_HUGEPAGE)
    }
  }

  deinit { _ = unsafe munmap(mapping, length) }
}

/// Bytes of a checkpoint that have been read to memory of this process.
@safe
public final class StagedBytes: Sendable {
  /// A range, and where in the buffer it is.
  struct Run {
    var range: FileRange
    var offset: Int
  }

  let runs: [Run]
  let buffer: ReadBuffer

  init(runs: [Run], buffer: ReadBuffer) {
    self.runs = runs
    self.buffer = buffer
  }

  /// Calls `body` with some of the bytes, which must be among those read.
  func withBytes<Result>(
    _ wanted: FileRange, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    if wanted.bytes.isEmpty { return unsafe body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    let run = runs.first {
      $0.range.file == wanted.file && $0.range.bytes.lowerBound <= wanted.bytes.lowerBound
        && wanted.bytes.upperBound <= $0.range.bytes.upperBound
    }
    guard let run else { preconditionFailure("bytes are used that were not read") }
    let offset = run.offset + wanted.bytes.lowerBound - run.range.bytes.lowerBound
    return unsafe body(
      UnsafeRawBufferPointer(start: buffer.base + offset, count: wanted.bytes.count))
  }
}
