import CEPCheckpoint

extension StoredElements {
  /// Converts a long run piece by piece: the next piece is asked for while one is converted, and pages
  /// are let go behind, so that a mapped file adds next to nothing to this process's memory.
  func decodeOnce(_ start: Int, count: Int, into destination: UnsafeMutablePointer<Float>) {
    let piece = 1 << 20
    var done = 0
    while done < count {
      let run = (start + done)..<(start + min(done + piece, count))
      let next = run.upperBound..<min(run.upperBound + piece, start + count)
      if !next.isEmpty { advise(next) { $0.prefetch($1) } }
      unsafe decode(run.lowerBound, count: run.count, into: destination + done)
      advise(run) { $0.drop($1) }
      done += run.count
    }
  }

  /// Lets go of the pages of a run of elements.
  func drop(_ run: Range<Int>) { advise(run) { $0.drop($1) } }

  private func advise(_ run: Range<Int>, _ body: (MappedFile, Range<Int>) -> Void) {
    switch encoding {
    case .plain(let element, let bytes), .blockScaled(let element, let bytes, _):
      if bytes.staged == nil { body(bytes.file, bytes.place(Self.bytes(element, run)).bytes) }
    case .mxfp4(let blocks, _):
      if blocks.staged == nil {
        body(blocks.file, blocks.place(Self.blockBytes(run.lowerBound, run.count)).bytes)
      }
    }
  }
}
