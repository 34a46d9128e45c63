import CEPCheckpoint

extension StoredElements {
  /// Converts a long run piece by piece, so that little more than the result is in memory; the next
  /// piece is asked for while one is converted.
  func decodeOnce(
    _ start: Int, count: Int, into destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) {
    let piece = 1 << 20
    var done = 0
    while done < count {
      let run = (start + done)..<(start + min(done + piece, count))
      prefetch(run.upperBound..<min(run.upperBound + piece, start + count))
      unsafe try decode(run.lowerBound, count: run.count, into: destination + done)
      done += run.count
    }
  }

  private func prefetch(_ run: Range<Int>) {
    if run.isEmpty { return }
    switch encoding {
    case .plain(let element, let bytes), .blockScaled(let element, let bytes, _):
      if bytes.staged == nil { bytes.file.prefetch(bytes.place(Self.bytes(element, run)).bytes) }
    case .mxfp4(let blocks, _):
      if blocks.staged == nil {
        blocks.file.prefetch(blocks.place(Self.blockBytes(run.lowerBound, run.count)).bytes)
      }
    }
  }
}
