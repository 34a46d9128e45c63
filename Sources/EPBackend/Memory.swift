internal import Glibc

/// A place in a device's memory, good for as long as the storage it lies in.
///
/// A backend whose memory the host cannot read uses the address as a handle.
@safe
public struct Memory: @unchecked Sendable {
  /// The first byte.
  public let base: UnsafeMutableRawPointer
  /// Bytes.
  public let bytes: Int

  /// Makes a place.
  @unsafe
  public init(_ base: UnsafeMutableRawPointer, bytes: Int) {
    unsafe self.base = unsafe base
    self.bytes = bytes
  }

  /// The elements as reals.
  public var reals: UnsafeMutablePointer<Float> { unsafe base.assumingMemoryBound(to: Float.self) }

  /// The elements as indices.
  public var indices: UnsafeMutablePointer<Int32> {
    unsafe base.assumingMemoryBound(to: Int32.self)
  }

  /// The `bytes` bytes from `offset` on, which must lie inside.
  public func part(from offset: Int, bytes: Int) -> Memory {
    precondition(
      offset >= 0 && bytes >= 0 && offset <= self.bytes && bytes <= self.bytes - offset,
      "a part lies inside its place")
    return unsafe Memory(base + offset, bytes: bytes)
  }

  /// The elements from `offset` on, of 4 bytes each, which must lie inside.
  public func elements(from offset: Int, count: Int) -> Memory {
    part(from: 4 * offset, bytes: 4 * count)
  }

  /// Copies all of another place of the host to the start of this one.
  public func copy(from other: Memory) {
    precondition(other.bytes <= bytes, "a copy fits where it goes")
    unsafe base.copyMemory(from: other.base, byteCount: other.bytes)
  }

  /// Copies numbers of the host to the start of this place.
  public func copy(from numbers: some Collection<Int32>) {
    precondition(4 * numbers.count <= bytes, "a copy fits where it goes")
    for (index, number) in numbers.enumerated() { unsafe indices[index] = number }
  }

  /// Copies numbers of the host to the start of this place.
  public func copy(from numbers: some Collection<Float>) {
    precondition(4 * numbers.count <= bytes, "a copy fits where it goes")
    for (index, number) in numbers.enumerated() { unsafe reals[index] = number }
  }
}

/// Memory of the host that lives as long as this object, aligned for vectors, zero at first.
///
/// `memory` does not keep the object: hold on to it while the place is used. What is never written
/// takes no memory of the machine.
@safe
public final class Storage: @unchecked Sendable {
  /// All of it.
  public let memory: Memory
  private let allocation: UnsafeMutableRawPointer?
  private let owner: AnyObject?

  /// Bytes of a huge page, and from how many on memory is asked for in such pages: reads of weights
  /// are faster by a quarter where addresses need not be looked up every 4 KiB.
  private static let hugePage = 2 << 20
  private static let hugeBytes = 4 << 20

  /// Takes `bytes` of memory.
  public init(bytes: Int) {
    let alignment = bytes < Storage.hugeBytes ? 64 : Storage.hugePage
    guard let allocation = unsafe calloc(1, max(bytes, 1) + alignment) else {
      fatalError("out of memory: \(bytes) bytes")
    }
    unsafe self.allocation = unsafe allocation
    owner = nil
    let address = Int(bitPattern: allocation)
    let first = unsafe allocation + (alignment - address % alignment)
    // The last page, which other memory shares, stays as it is.
    if bytes >= Storage.hugeBytes {
      unsafe madvise(first, bytes / Storage.hugePage * Storage.hugePage, MADV_HUGEPAGE)
    }
    memory = unsafe Memory(first, bytes: bytes)
  }

  /// Memory, zero at first and aligned for vectors, that lives as long as its owner.
  public init(_ memory: Memory, keptBy owner: AnyObject) {
    self.memory = memory
    unsafe allocation = nil
    self.owner = owner
  }

  /// Takes memory that holds the numbers.
  public convenience init(_ numbers: [Int32]) {
    self.init(bytes: 4 * numbers.count)
    for (index, number) in numbers.enumerated() { unsafe memory.indices[index] = number }
  }

  /// Takes memory that holds the numbers.
  public convenience init(_ numbers: [Float]) {
    self.init(bytes: 4 * numbers.count)
    for (index, number) in numbers.enumerated() { unsafe memory.reals[index] = number }
  }

  deinit { unsafe free(allocation) }
}

/// Memory that grows to what is asked of it and keeps nothing when it does.
public struct Scratch: Sendable {
  private var storage: Storage
  private let allocate: @Sendable (Int) -> Storage

  /// Makes empty scratch memory, of the host unless `allocate` takes it elsewhere.
  public init(allocate: @escaping @Sendable (Int) -> Storage = { Storage(bytes: $0) }) {
    self.allocate = allocate
    storage = allocate(0)
  }

  /// A place of that size, whose former contents are lost.
  public mutating func take(bytes: Int) -> Memory {
    if storage.memory.bytes < bytes { storage = allocate(bytes + bytes / 2) }
    return storage.memory.part(from: 0, bytes: bytes)
  }
}
