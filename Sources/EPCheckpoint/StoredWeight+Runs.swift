import CEPCheckpoint

extension StoredWeight {
  /// Reads one expert of the slice, stored as `[sourceRows, columns]`, in the longest runs there are.
  func readRows(
    _ expert: Int, _ slice: WeightSlice, into destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) {
    let width = shape.columns
    func start(_ row: Int) -> Int {
      (expert * sourceRows + sourceRow(row)) * width + slice.columns.lowerBound
    }
    if source.rows.step == 1 && slice.columns.count == width {
      let count = slice.rows.count * width
      unsafe try elements.decodeOnce(start(slice.rows.lowerBound), count: count, into: destination)
      return
    }
    var next = unsafe destination
    for row in slice.rows {
      unsafe try elements.decode(start(row), count: slice.columns.count, into: next)
      unsafe next += slice.columns.count
    }
  }

  /// Reads one expert of the slice, stored as `[columns, sourceRows]`, tile by tile.
  ///
  /// A tile is decoded the way it is stored into a buffer that stays in the second-level cache,
  /// and turned from there, so that neither the file nor the destination is walked by columns.
  func readTransposed(
    _ expert: Int, _ slice: WeightSlice, into destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) {
    let step = source.rows.step
    let tileColumns = min(slice.columns.count, 32)
    let tileRows = min(slice.rows.count, max(1, 1024 / step))
    let tileSpan = (tileRows - 1) * step + 1
    let width = slice.columns.count
    let tile = UnsafeMutablePointer<Float>.allocate(capacity: tileColumns * tileSpan)
    defer { unsafe tile.deallocate() }
    for row in stride(from: slice.rows.lowerBound, to: slice.rows.upperBound, by: tileRows) {
      let rows = min(tileRows, slice.rows.upperBound - row)
      let span = (rows - 1) * step + 1
      for column in stride(
        from: slice.columns.lowerBound, to: slice.columns.upperBound, by: tileColumns)
      {
        let columns = min(tileColumns, slice.columns.upperBound - column)
        for index in 0..<columns {
          let start = (expert * shape.columns + column + index) * sourceRows + sourceRow(row)
          unsafe try elements.decode(start, count: span, into: tile + index * span)
        }
        let corner = (row - slice.rows.lowerBound) * width + column - slice.columns.lowerBound
        let isDone = unsafe epc_transpose_f32(
          tile, columns * span, span, step, destination + corner,
          slice.rows.count * width - corner, width, columns, rows)
        precondition(isDone, "a tile lies inside the slice it is cut from")
      }
    }
  }
}
