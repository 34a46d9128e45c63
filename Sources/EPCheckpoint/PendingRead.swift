import CEPCheckpoint

/// What is to be done with bytes that have been read, by threads of the reader.
@safe
final class ReadWork: Sendable {
  /// How many tasks there are, which may be done at once.
  let count: Int
  private let body: @Sendable (Int, StagedBytes) -> Void
  private let bytes: StagedBytes

  init(_ count: Int, on bytes: StagedBytes, _ body: @escaping @Sendable (Int, StagedBytes) -> Void)
  {
    self.count = count
    self.bytes = bytes
    self.body = body
  }

  /// The work as the reader in C takes it, good for as long as this object.
  var value: epc_read_work {
    unsafe epc_read_work(
      count: count,
      run: { context, task in
        guard let context = unsafe context else { return }
        let work = unsafe Unmanaged<ReadWork>.fromOpaque(context).takeUnretainedValue()
        work.body(task, work.bytes)
      }, context: Unmanaged.passUnretained(self).toOpaque())
  }
}

/// A read under way, with what follows it; giving it up ends it.
@safe
public final class PendingRead: @unchecked Sendable {
  private let reader: CheckpointReader
  private let bytes: StagedBytes
  private let paths: [String]
  private let work: ReadWork
  private(set) var request: OpaquePointer?
  /// How urgent it is.
  public private(set) var priority: CheckpointReader.Priority

  @unsafe
  init(
    _ request: OpaquePointer, reader: CheckpointReader, bytes: StagedBytes, paths: [String],
    work: ReadWork, priority: CheckpointReader.Priority
  ) {
    unsafe self.request = unsafe request
    self.reader = reader
    self.bytes = bytes
    self.paths = paths
    self.work = work
    self.priority = priority
  }

  deinit {
    giveUp()
    reader.giveBack(bytes.buffer)
  }

  /// Begins to end it: what has not begun does not, and it fails when what has is over.
  public func cancel() {
    guard let request = unsafe request else { return }
    unsafe epc_reader_cancel(reader.reader, request)
  }

  /// Ends it: what has not begun does not, what has is waited for. Returns the bytes that were read for it.
  @discardableResult
  public func giveUp() -> Int {
    let bytes = unsafe epc_reader_release(reader.reader, request)
    unsafe request = nil
    return Int(clamping: bytes)
  }

  /// Memory that it takes until it is given up.
  public var room: Int { bytes.buffer.count }

  /// Whether nothing is left to read or to do.
  public var isComplete: Bool {
    guard let request = unsafe request else { return true }
    return unsafe epc_reader_state(reader.reader, request) != EPC_READ_PENDING
  }

  /// Makes it more urgent.
  public func hurry(_ priority: CheckpointReader.Priority) {
    guard priority < self.priority, let request = unsafe request else { return }
    self.priority = priority
    unsafe epc_reader_hurry(reader.reader, request, priority.value)
  }

  /// Waits until nothing is left to read or to do.
  ///
  /// - Throws: `CheckpointError.readFailed` or `.endsEarly`, with the file and the place.
  public func finish() throws(CheckpointError) {
    _ = reader.waitForAny(of: [self])
    guard let request = unsafe request else { return }
    if unsafe epc_reader_state(reader.reader, request) == EPC_READ_DONE { return }
    var (index, offset) = (0, UInt64(0))
    let code = unsafe epc_reader_error(reader.reader, request, &index, &offset)
    let place = Int(clamping: offset)
    // What was given up may have had nothing to read.
    let path = paths.indices.contains(index) ? paths[index] : ""
    throw code == 0
      ? .endsEarly(file: path, offset: place, length: bytes.runs[index].range.bytes.upperBound)
      : .readFailed(file: path, offset: place, code: code)
  }

  /// Waits for the bytes and calls `body` with them, which are good during the call.
  ///
  /// - Throws: what `finish` throws.
  public func withBytes(
    _ body: (StagedBytes) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try finish()
    try body(bytes)
  }
}
