import CEPCheckpoint
import Glibc

extension StoredWeight {
  /// Asks the system to read an expert's matrix from the file now, without waiting for it.
  public func readAhead(expert: Int) { advise(expert, MADV_WILLNEED) }

  /// Says that an expert's matrix will not be read again soon: its pages no longer count as this
  /// process's.
  public func release(expert: Int) { advise(expert, MADV_DONTNEED) }

  private func advise(_ expert: Int, _ advice: Int32) {
    guard (0..<shape.experts).contains(expert) else { return }
    let count = sourceRows * shape.columns
    elements.advise(expert * count, count: count, advice)
  }
}

extension StoredElements {
  /// Advises the system about the pages of some elements.
  func advise(_ start: Int, count: Int, _ advice: Int32) {
    switch encoding {
    case .plain(let element, let bytes), .blockScaled(let element, let bytes, _):
      let width = epc_element_bytes(element)
      bytes.advise((start * width)..<((start + count) * width), advice)
    case .mxfp4(let blocks, let scales):
      // A block of 32 elements has 16 bytes and one scale.
      blocks.advise((start / 2)..<((start + count) / 2), advice)
      scales.advise((start / 32)..<((start + count) / 32), advice)
    }
  }
}

extension MappedBytes {
  /// Advises the system about the pages of some bytes; advice may be ignored, and never fails.
  func advise(_ bytes: Range<Int>, _ advice: Int32) {
    let page = 4096
    unsafe withBytes { all in
      guard let base = all.baseAddress, bytes.upperBound <= all.count, !bytes.isEmpty else {
        return
      }
      let start = Int(bitPattern: base) + bytes.lowerBound
      let first = start / page * page
      guard let address = unsafe UnsafeMutableRawPointer(bitPattern: first) else { return }
      unsafe _ = madvise(address, start + bytes.count - first, advice)
    }
  }
}
