import CEPCheckpoint
import Glibc

/// Reads bytes of a checkpoint by threads of its own, and does something with them on others, while the
/// caller does something else.
///
/// Reads may go to the disk directly, where the file system allows, so that they take no memory but what
/// they are read to. One thread at a time may use it.
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
  /// Buffers that are free again, to spare the system taking and giving pages, which it fills with zeros.
  private var free: [ReadBuffer] = []
  /// Bytes of buffers that reads have, and the most that they have had at once: together with those that
  /// are free they never are more.
  private var (inUse, most) = (0, 0)

  /// Opens the files of a checkpoint once more and starts threads.
  ///
  /// - Parameters:
  ///   - checkpoint: nil for a reader that has work alone.
  ///   - threads: how many pieces are read at once.
  ///   - workers: how many tasks are done at once.
  ///   - isDirect: whether to pass by the system's cache: right for what does not fit into it.
  /// - Throws: `CheckpointError.endsEarly` if a file has become shorter, `.system` if there are no
  ///   descriptors or threads to be had.
  public init(
    _ checkpoint: Checkpoint?, threads: Int = 4, workers: Int = 0, isDirect: Bool = true
  ) throws(CheckpointError) {
    var error: Int32 = 0
    files = try (checkpoint?.files ?? []).map { (file) throws(CheckpointError) in
      try ReadFile(file, isDirect: isDirect)
    }
    guard let reader = unsafe epc_reader_create(threads, workers, &error) else {
      throw .system(
        operation: "start threads to read", file: checkpoint?.path ?? "nothing", code: error)
    }
    unsafe self.reader = reader
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
  ///
  /// - Parameters:
  ///   - tasks: how many calls of `work` follow when all is read; several threads make them at once.
  ///   - work: gets the number of the task and the bytes. What it uses must not be freed before the
  ///     result is.
  public func read(
    _ ranges: [FileRange], priority: Priority, tasks: Int = 0,
    work: @escaping @Sendable (Int, StagedBytes) -> Void = { _, _ in }
  ) throws(CheckpointError) -> PendingRead {
    let buffer = try takeBuffer(Self.room(for: ranges))
    var requests = unsafe [epc_read_range]()
    var runs: [StagedBytes.Run] = []
    var offset = 0
    for range in ranges {
      let (start, length) = (UInt64(range.bytes.lowerBound), UInt64(range.bytes.count))
      unsafe requests.append(
        epc_read_range(
          file: files[range.file].file, offset: start, length: length,
          memory: buffer.base + offset, room: UInt64(buffer.count - offset)))
      runs.append(StagedBytes.Run(range: range, offset: offset + Int(epc_read_skip(start))))
      offset += Int(epc_read_room(start, length))
    }
    let staged = StagedBytes(runs: runs, buffer: buffer)
    let work = ReadWork(tasks, on: staged, work)
    guard
      let request = unsafe epc_reader_submit(
        reader, requests, requests.count, work.value, priority.value)
    else {
      throw .system(
        operation: "read", file: ranges.first.map { files[$0.file].path } ?? "", code: ENOMEM)
    }
    return unsafe PendingRead(
      request, reader: self, bytes: staged, paths: ranges.map { files[$0.file].path }, work: work,
      priority: priority)
  }

  /// Waits until one of the reads is complete, and returns which; nil where there are none.
  public func waitForAny(of reads: [PendingRead]) -> Int? {
    if reads.isEmpty { return nil }
    return unsafe withUnsafeTemporaryAllocation(of: OpaquePointer?.self, capacity: reads.count) {
      for (index, read) in reads.enumerated() {
        unsafe $0.initializeElement(at: index, to: read.request)
      }
      return unsafe epc_reader_wait(reader, $0.baseAddress, reads.count)
    }
  }

  private func takeBuffer(_ count: Int) throws(CheckpointError) -> ReadBuffer {
    if let index = free.lastIndex(where: { $0.count >= count && $0.count <= 2 * count }) {
      let buffer = free.remove(at: index)
      inUse += buffer.count
      return buffer
    }
    let size = max(count, Int(EPC_READ_ALIGNMENT))
    most = max(most, inUse + size)
    var kept = free.reduce(0) { $0 + $1.count }
    while inUse + size + kept > most { kept -= free.removeFirst().count }
    let buffer = try ReadBuffer(count: size)
    inUse += size
    return buffer
  }

  func giveBack(_ buffer: ReadBuffer) {
    inUse -= buffer.count
    free.append(buffer)
  }
}

/// A file of a checkpoint, open for direct reads until this object goes.
@safe
private final class ReadFile: @unchecked Sendable {
  let path: String
  let file: OpaquePointer

  init(_ known: OpenFile, isDirect: Bool) throws(CheckpointError) {
    path = known.path
    var error: Int32 = 0
    guard let file = unsafe epc_read_file_open(known.descriptor, isDirect, &error) else {
      throw .system(operation: "read", file: path, code: error)
    }
    unsafe self.file = file
    let bytes = unsafe Int(clamping: epc_read_file_bytes(file))
    if bytes != known.byteCount {
      throw .endsEarly(file: path, offset: bytes, length: known.byteCount)
    }
  }

  deinit { unsafe epc_read_file_close(file) }
}
