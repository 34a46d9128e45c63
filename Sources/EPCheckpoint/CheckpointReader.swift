import CEPCheckpoint
import Glibc

/// Reads bytes of a checkpoint by threads of its own, while the caller does something else.
///
/// Reads go to the disk directly where the file system allows, so they take no memory but what they
/// are read to. One thread at a time may use it.
@safe
public final class CheckpointReader: @unchecked Sendable {
  /// How urgent a read is; the more urgent begin first.
  public enum Priority: Int, Sendable, Comparable {
    /// Somebody waits for it.
    case now
    /// Somebody will probably want it soon.
    case soon
    /// It may be of use some time.
    case later

    /// Whether the first is more urgent.
    public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }

    var value: epc_read_priority {
      switch self {
      case .now: EPC_READ_NOW
      case .soon: EPC_READ_SOON
      case .later: EPC_READ_LATER
      }
    }
  }

  let reader: OpaquePointer
  private let files: [ReadFile]
  /// Buffers that are free again, to spare the system taking and giving pages.
  private var free: [ReadBuffer] = []
  private let keptBuffers: Int

  /// Opens the files of a checkpoint once more and starts threads.
  ///
  /// - Parameters:
  ///   - threads: how many ranges are read at once.
  ///   - keptBuffers: how many buffers are kept for further reads.
  /// - Throws: `CheckpointError.system` if a file is no longer the one that the checkpoint was opened
  ///   from, or there are no threads to be had.
  public init(
    _ checkpoint: Checkpoint, threads: Int = 4, keptBuffers: Int = 8
  ) throws(CheckpointError) {
    var error: Int32 = 0
    files = try checkpoint.files.map { (file) throws(CheckpointError) in try ReadFile(file) }
    guard let reader = unsafe epc_reader_create(threads, &error) else {
      throw .system(operation: "read", file: checkpoint.path, code: error)
    }
    unsafe self.reader = reader
    self.keptBuffers = keptBuffers
  }

  // Files are closed after this, when nothing reads them any more.
  deinit { unsafe epc_reader_destroy(reader) }

  /// Bytes read so far, in whole blocks.
  public var bytesRead: Int { unsafe Int(clamping: epc_reader_bytes(reader)) }

  /// Whether reads of every file go past the page cache.
  public var isDirect: Bool {
    files.allSatisfy { unsafe epc_read_file_is_direct($0.file) }
  }

  /// Memory that a read of these ranges takes.
  public static func room(for ranges: [FileRange]) -> Int {
    ranges.reduce(0) {
      $0 + Int(clamping: epc_read_room(UInt64($1.bytes.lowerBound), UInt64($1.bytes.count)))
    }
  }

  /// Begins to read ranges, which are not empty.
  public func read(
    _ ranges: [FileRange], priority: Priority
  ) throws(CheckpointError) -> PendingRead {
    let buffer = try takeBuffer(Self.room(for: ranges))
    let pending = PendingRead(reader: self, buffer: buffer, priority: priority)
    var offset = 0
    for range in ranges {
      let file = files[range.file]
      let (start, length) = (UInt64(range.bytes.lowerBound), UInt64(range.bytes.count))
      let room = epc_read_room(start, length)
      guard
        let read = unsafe epc_reader_submit(
          reader, file.file, start, length, buffer.base + offset, UInt64(buffer.count - offset),
          priority.value)
      else { throw .system(operation: "read", file: file.path, code: ENOMEM) }
      pending.add(
        unsafe ReadRequest(read),
        StagedBytes.Run(range: range, offset: offset + Int(epc_read_skip(start))), file.path)
      offset += Int(room)
    }
    return pending
  }

  /// Waits until one of the reads is complete, and returns which; nil where there are none.
  public func waitForAny(of reads: [PendingRead]) -> Int? {
    var requests: [ReadRequest] = []
    for (index, read) in reads.enumerated() {
      guard let request = read.incomplete else { return index }
      requests.append(request)
    }
    if requests.isEmpty { return nil }
    while true {
      let found = waitForAny(of: requests)
      // A read of several ranges may have others to wait for.
      guard let next = reads[found].incomplete else { return found }
      requests[found] = next
    }
  }

  @discardableResult
  func waitForAny(of requests: [ReadRequest]) -> Int {
    unsafe withUnsafeTemporaryAllocation(of: OpaquePointer?.self, capacity: requests.count) {
      for (index, request) in requests.enumerated() {
        unsafe $0.initializeElement(at: index, to: request.pointer)
      }
      return unsafe epc_reader_wait(reader, $0.baseAddress, requests.count)
    }
  }

  private func takeBuffer(_ count: Int) throws(CheckpointError) -> ReadBuffer {
    if let index = free.firstIndex(where: { $0.count >= count && $0.count <= 2 * count }) {
      return free.remove(at: index)
    }
    return try ReadBuffer(count: max(count, Int(EPC_READ_ALIGNMENT)))
  }

  func giveBack(_ buffer: ReadBuffer) {
    if free.count < keptBuffers { free.append(buffer) }
  }
}

/// A file of a checkpoint, open for direct reads until this object goes.
@safe
private final class ReadFile: @unchecked Sendable {
  let path: String
  let file: OpaquePointer

  init(_ mapped: MappedFile) throws(CheckpointError) {
    path = mapped.path
    var error: Int32 = 0
    guard
      let file = unsafe epc_read_file_open(
        path, mapped.identity.device, mapped.identity.inode, &error)
    else { throw .system(operation: "read", file: path, code: error) }
    unsafe self.file = file
    let bytes = unsafe Int(clamping: epc_read_file_bytes(file))
    if bytes != mapped.byteCount {
      throw .endsEarly(file: path, offset: bytes, length: mapped.byteCount)
    }
  }

  deinit { unsafe epc_read_file_close(file) }
}
