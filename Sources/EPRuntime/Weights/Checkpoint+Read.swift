internal import CEPKernels
internal import EPBackend
internal import EPCheckpoint
internal import EPModel
internal import EPPlan

extension EPModel.StoredTensor {
  /// The place as the checkpoint reader takes it, for one expert if each has its own tensor.
  func place(expert: Int) -> EPCheckpoint.StoredTensor {
    let selection: RowSelection
    switch rows {
    case .all: selection = .all
    case .range(let start, let count, let total): selection = .range(start, count: count, of: total)
    case .interleaved(let index, let stride): selection = .interleaved(index, of: stride)
    }
    return EPCheckpoint.StoredTensor(
      name.replacing("{expert}", with: String(expert)), transposed: transposed, rows: selection)
  }

  /// Whether each expert has a tensor of its own.
  var isPerExpert: Bool { name.contains("{expert}") }

  /// The weight's sizes as the reader takes them: rows first, as many as are asked for.
  func matrix(_ sizes: [Int]) -> [Int] {
    guard case .range(_, let count, _) = rows, let first = sizes.first, first != count else {
      return sizes
    }
    var product = 1
    for (index, size) in sizes.enumerated() {
      product *= size
      if product == count { return [count] + sizes[(index + 1)...] }
    }
    return sizes
  }
}

extension Checkpoint {
  /// Whether the checkpoint holds a tensor, plain or as blocks.
  func holds(_ place: EPModel.StoredTensor) -> Bool {
    let name = place.name.replacing("{expert}", with: "0")
    return tensors[name] != nil || tensors[name + "_blocks"] != nil
  }

  /// Where a weight is, out of the places where it may be.
  func place(
    of weight: String, among places: [EPModel.StoredTensor]
  ) throws(WeightError) -> EPModel.StoredTensor {
    guard let place = places.first(where: { holds($0) }) else {
      throw .missing(
        weight: weight.replacing("{expert}", with: "0"),
        places: places.map { $0.name.replacing("{expert}", with: "0") })
    }
    return place
  }

  /// A weight's elements, proven to be there, of one expert if each has its own tensor.
  func weight(
    _ place: EPModel.StoredTensor, sizes: [Int], experts: Int?, expert: Int
  ) throws(WeightError) -> StoredWeight {
    let isFused = experts != nil && !place.isPerExpert
    do {
      return try resolve(
        place.place(expert: expert),
        as: WeightShape(experts: isFused ? experts : nil, place.matrix(sizes)))
    } catch { throw .checkpoint(error) }
  }

  /// A part of a weight that a rank holds: all of it, or one expert's.
  func part(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, expert: Int?, uses: WeightUse,
    as form: WeightStore.Form?
  ) throws(WeightError) -> WeightPart {
    let place = try place(of: slice.name, among: slice.stored)
    func part(_ origin: WeightPart.Origin) -> WeightPart {
      WeightPart(
        origin, of: slice, box, uses: uses, as: form, expert: expert, tensor: place.name)
    }
    if case .experts(let count) = uses {
      return part(.table(self, tensor: place.name, experts: count))
    }
    let whole = slice.axes.first?.split == .expert ? slice.axes[0].size : nil
    let weight = try self.weight(place, sizes: box.sizes, experts: whole, expert: expert ?? 0)
    let matrix = place.isPerExpert ? 0 : expert ?? 0
    if let run = weight.rows(of: box.runs, columns: form?.form.columns, expert: matrix) {
      return part(.rows(run))
    }
    return part(.matrix(weight, expert: matrix))
  }

  /// Reads whole numbers below `experts` as reals.
  func readTable(_ name: String, experts: Int, into memory: Memory) throws(WeightError) {
    let entries: [Int64]
    do { entries = try integers(name) } catch { throw .checkpoint(error) }
    if 4 * entries.count != memory.bytes {
      throw .table(
        tensor: name, problem: "it has \(entries.count) entries, not \(memory.bytes / 4)")
    }
    for (index, entry) in entries.enumerated() {
      if entry < 0 || entry >= experts {
        throw .table(tensor: name, problem: "entry \(index) is \(entry) of \(experts) experts")
      }
      unsafe memory.reals[index] = Float(entry)
    }
  }
}

extension StoredWeight {
  /// Reads a box of one matrix: whole rows or a range of columns at once where that is what is
  /// held, and row by row otherwise.
  func read(_ box: WeightBox, expert: Int, into memory: Memory) throws(WeightError) {
    let width = shape.columns
    let all = expert..<(expert + 1)
    do {
      var next = 0
      func read(rows: Range<Int>, columns: Range<Int>) throws(CheckpointError) {
        let slice = EPCheckpoint.WeightSlice(experts: all, rows: rows, columns: columns)
        let part = memory.elements(from: next, count: slice.count)
        try unsafe self.read(
          slice, into: UnsafeMutableBufferPointer(start: part.reals, count: slice.count))
        next += slice.count
      }
      let runs = box.runs
      // A column range that repeats in every row is one box.
      if runs.count == shape.rows, let first = runs.first, first.upperBound <= width,
        runs.enumerated().allSatisfy({ $1.lowerBound == first.lowerBound + $0 * width })
      {
        try read(rows: 0..<shape.rows, columns: first)
        return
      }
      for run in runs {
        if run.lowerBound % width == 0 && run.upperBound % width == 0 {
          try read(
            rows: (run.lowerBound / width)..<(run.upperBound / width), columns: 0..<width)
          continue
        }
        var start = run.lowerBound
        while start < run.upperBound {
          let row = start / width
          let end = min(run.upperBound, (row + 1) * width)
          try read(rows: row..<(row + 1), columns: (start - row * width)..<(end - row * width))
          start = end
        }
      }
    } catch { throw .checkpoint(error) }
  }
}
