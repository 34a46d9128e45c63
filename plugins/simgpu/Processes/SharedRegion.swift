internal import CEPSystem
public import EPBackend
internal import Glibc
internal import Synchronization

/// Memory that the processes of a run share, as one of them sees it: the board on which ranks meet,
/// room to pass values around, and a heap for each process.
///
/// It has no name and is gone with the last process.
@safe
public final class SharedRegion: @unchecked Sendable {
  /// How many processes, ranks, groups and members there are.
  public struct Shape: Hashable, Sendable {
    /// Processes.
    public var processes: Int
    /// Ranks of all pools.
    public var ranks: Int
    /// Groups of all pools.
    public var groups: Int
    /// The most members of a group.
    public var members: Int
    /// What all processes must agree on besides: a digest of plan and request.
    public var digest: UInt64

    /// Makes a shape.
    public init(processes: Int, ranks: Int, groups: Int, members: Int, digest: UInt64) {
      self.processes = processes
      self.ranks = ranks
      self.groups = groups
      self.members = members
      self.digest = digest
    }

    var board: epc_board_shape {
      epc_board_shape(
        processes: UInt32(processes), ranks: UInt32(ranks), groups: UInt32(groups),
        members: UInt32(members))
    }
  }

  /// Bytes that values are passed around in.
  static let stagingBytes = 16 << 20
  /// Bytes that a process may take; memory is used as it is touched.
  static let heapBytes = 64 << 30

  /// The descriptor of the memory.
  public let descriptor: Int32
  /// The shape.
  public let shape: Shape
  /// This process.
  public let process: Int
  let base: UnsafeMutableRawPointer
  private let bytes: Int
  private let stagingOffset: Int
  private let heap: Mutex<Heap>

  private struct Heap {
    var next: Int
    let end: Int
  }

  /// Makes the memory of a run; this process is its first.
  public convenience init(making shape: Shape) throws(BackendError) {
    let (_, bytes) = SharedRegion.layout(shape)
    let descriptor = epc_shared_create(bytes)
    if descriptor < 0 { throw .process("no shared memory of \(bytes) bytes: \(lastError())") }
    try self.init(descriptor, shape: shape, process: 0)
    unsafe epc_board_make(base, shape.board)
    unsafe base.storeBytes(of: shape.digest, toByteOffset: stagingOffset - 64, as: UInt64.self)
  }

  /// Joins the memory that another process made for the same shape.
  public convenience init(
    joining descriptor: Int32, shape: Shape, process: Int
  ) throws(BackendError) {
    try self.init(descriptor, shape: shape, process: process)
    let digest = unsafe base.load(fromByteOffset: stagingOffset - 64, as: UInt64.self)
    guard unsafe epc_board_check(base, bytes, shape.board), digest == shape.digest else {
      throw .process("process \(process) was started for another plan or request")
    }
  }

  private init(_ descriptor: Int32, shape: Shape, process: Int) throws(BackendError) {
    guard shape.processes <= Int(EPC_MOST_PROCESSES), process < shape.processes else {
      throw .process("\(shape.processes) processes; there are at most \(EPC_MOST_PROCESSES)")
    }
    let (staging, bytes) = SharedRegion.layout(shape)
    guard epc_shared_bytes(descriptor) == bytes, let base = unsafe epc_shared_map(descriptor, bytes)
    else { throw .process("shared memory cannot be mapped: \(lastError())") }
    self.descriptor = descriptor
    self.shape = shape
    self.process = process
    unsafe self.base = unsafe base
    self.bytes = bytes
    stagingOffset = staging
    let start = staging + SharedRegion.stagingBytes + process * SharedRegion.heapBytes
    heap = Mutex(Heap(next: start, end: start + SharedRegion.heapBytes))
  }

  deinit {
    unsafe epc_shared_unmap(base, bytes)
    if process == 0 { close(descriptor) }
  }

  private static func layout(_ shape: Shape) -> (staging: Int, bytes: Int) {
    let staging = (epc_board_bytes(shape.board) + 64 + 4095) / 4096 * 4096
    return (staging, staging + stagingBytes + shape.processes * heapBytes)
  }

  // MARK: Memory

  /// Takes zeroed memory that other processes can read; it is given back when the run ends.
  func allocate(bytes count: Int) -> Storage {
    let size = (max(count, 64) + 63) / 64 * 64
    let offset = heap.withLock { heap -> Int in
      precondition(size <= heap.end - heap.next, "a process takes more than its heap")
      defer { heap.next += size }
      return heap.next
    }
    return Storage(unsafe Memory(base + offset, bytes: count), keptBy: self)
  }

  /// Where a place is in the memory; nil for one of the process's own.
  func block(_ memory: Memory) -> epc_block? {
    let offset = unsafe memory.base - base
    guard offset >= 0 && offset <= bytes - memory.bytes else { return nil }
    return epc_block(offset: UInt64(offset), bytes: UInt64(memory.bytes))
  }

  /// The place that a block names; nil if it reaches out of the memory.
  func memory(_ block: epc_block) -> Memory? {
    guard block.offset <= UInt64(bytes), block.bytes <= UInt64(bytes) - block.offset else {
      return nil
    }
    return unsafe Memory(base + Int(block.offset), bytes: Int(block.bytes))
  }

  /// Room to pass values around.
  var staging: Memory {
    unsafe Memory(base + stagingOffset, bytes: SharedRegion.stagingBytes)
  }
}

/// What the system says of the latest failure.
func lastError() -> String { unsafe String(cString: strerror(errno)) }
