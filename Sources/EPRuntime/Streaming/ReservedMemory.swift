internal import CEPCheckpoint
internal import EPBackend
import Glibc

/// Addresses for a block of weights that is in memory in parts only.
///
/// Kernels see one block, as if all of it were there. A part that is not cannot be touched: that would
/// be a bug, and ends the process rather than giving zeros for weights.
@safe
final class ReservedMemory: @unchecked Sendable {
  /// The addresses.
  let memory: Memory
  private let mapping: UnsafeMutableRawPointer
  private let length: Int

  private static let page = Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Large pages, in which addresses are found faster.
  private static let largePage = 2 << 20

  /// Reserves addresses for parts of `partBytes`; takes no memory.
  init(bytes: Int, partBytes: Int) throws(WeightError) {
    let page = ReservedMemory.page
    // Parts that are no whole number of large pages would share them.
    let isLarge = partBytes > 0 && partBytes % ReservedMemory.largePage == 0
    let alignment = isLarge ? ReservedMemory.largePage : page
    length = max((bytes + page - 1) / page, 1) * page + alignment
    let base = unsafe mmap(
      nil, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else { throw .memory(code: errno) }
    unsafe mapping = unsafe base
    let address = Int(bitPattern: base)
    let start = unsafe base + ((address + alignment - 1) / alignment * alignment - address)
    memory = unsafe Memory(start, bytes: bytes)
    if isLarge { _ = unsafe madvise(start, bytes, MADV_HUGEPAGE) }
  }

  deinit { _ = unsafe munmap(mapping, length) }

  /// The pages that hold some bytes, as bytes of the block.
  static func pages(of range: Range<Int>) -> Range<Int> {
    (range.lowerBound / page * page)..<((range.upperBound + page - 1) / page * page)
  }

  /// Makes bytes usable; they are zero where they were not before.
  func commit(_ range: Range<Int>) throws(WeightError) {
    let pages = ReservedMemory.pages(of: range)
    if unsafe mprotect(memory.base + pages.lowerBound, pages.count, PROT_READ | PROT_WRITE) != 0 {
      throw .memory(code: errno)
    }
  }

  /// Moves pages of another block to where this one has none; both begin and end with pages. Returns
  /// whether the system did it.
  func take(at offset: Int, from other: ReservedMemory, at otherOffset: Int, bytes: Int) -> Bool {
    unsafe epc_pages_move(other.memory.base + otherOffset, memory.base + offset, bytes)
  }

  /// Gives whole pages back to the system.
  func release(pages: Range<Int>) {
    if pages.isEmpty { return }
    _ = unsafe madvise(memory.base + pages.lowerBound, pages.count, MADV_DONTNEED)
    _ = unsafe mprotect(memory.base + pages.lowerBound, pages.count, PROT_NONE)
  }
}
