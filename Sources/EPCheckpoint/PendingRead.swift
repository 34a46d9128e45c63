import CEPCheckpoint

/// A request of the reader in C.
@safe
struct ReadRequest: @unchecked Sendable {
  let pointer: OpaquePointer

  @unsafe
  init(_ pointer: OpaquePointer) { unsafe self.pointer = unsafe pointer }

  /// How it stands.
  func state(_ reader: CheckpointReader) -> epc_read_state {
    unsafe epc_reader_state(reader.reader, pointer)
  }
}

/// A read under way; giving it up ends it.
@safe
public final class PendingRead: @unchecked Sendable {
  private let reader: CheckpointReader
  private let buffer: ReadBuffer
  private var requests: [ReadRequest] = []
  private var runs: [StagedBytes.Run] = []
  private var paths: [String] = []
  /// How urgent it is.
  public private(set) var priority: CheckpointReader.Priority

  init(reader: CheckpointReader, buffer: ReadBuffer, priority: CheckpointReader.Priority) {
    self.reader = reader
    self.buffer = buffer
    self.priority = priority
  }

  func add(_ request: ReadRequest, _ run: StagedBytes.Run, _ path: String) {
    requests.append(request)
    runs.append(run)
    paths.append(path)
  }

  deinit {
    for request in requests { unsafe epc_reader_release(reader.reader, request.pointer) }
    reader.giveBack(buffer)
  }

  /// Memory that it takes until it is given up.
  public var room: Int { buffer.count }

  /// A request that is not complete.
  var incomplete: ReadRequest? { requests.first { $0.state(reader) == EPC_READ_PENDING } }

  /// Whether nothing is left to read.
  public var isComplete: Bool { incomplete == nil }

  /// Makes it more urgent.
  public func hurry(_ priority: CheckpointReader.Priority) {
    guard priority < self.priority else { return }
    self.priority = priority
    for request in requests {
      unsafe epc_reader_hurry(reader.reader, request.pointer, priority.value)
    }
  }

  /// Waits for the bytes and calls `body` with them, which are good during the call.
  ///
  /// - Throws: `CheckpointError.system` or `.endsEarly`, with the file and the place.
  public func withBytes(
    _ body: (StagedBytes) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    while let request = incomplete { reader.waitForAny(of: [request]) }
    for (index, request) in requests.enumerated() where request.state(reader) == EPC_READ_FAILED {
      var offset: UInt64 = 0
      let code = unsafe epc_reader_error(reader.reader, request.pointer, &offset)
      let range = runs[index].range.bytes
      throw code == 0
        ? .endsEarly(file: paths[index], offset: Int(clamping: offset), length: range.upperBound)
        : .readFailed(file: paths[index], offset: Int(clamping: offset), code: code)
    }
    try body(StagedBytes(runs: runs, buffer: buffer))
  }
}
