internal import EPBackend
internal import EPBackendCPU
internal import EPModel

extension OperationCase {
  /// The normalised error of what a device makes, over results and caches; the worst of them.
  func compare<D: Device>(
    _ device: D, _ precision: Conformance.Precision
  ) throws(ConformanceError) -> Double {
    let wanted = try run(ReferenceDevice())
    let made = try run(device)
    var worst = try normalisedError(made.caches, wanted.caches, "the cache")
    // Of rows that choose differently, what comes of the choice is not compared.
    var rows: Set<Int>?
    for (index, type) in wanted.types.enumerated() {
      let width = max(type.elementsPerRow, 1)
      let (own, other) = (made.results[index], wanted.results[index])
      guard type.element == .index else {
        let kept = rows.map { rows in own.indices.filter { rows.contains($0 / width) } }
        worst = max(
          worst,
          try normalisedError(
            kept.map { $0.map { own[$0] } } ?? own, kept.map { $0.map { other[$0] } } ?? other,
            "the result"))
        continue
      }
      let count = other.count / width
      let same = (0..<count).filter { row in
        let range = (row * width)..<((row + 1) * width)
        return own[range] == other[range]
      }
      if Double(same.count) < precision.agreement * Double(count) {
        throw .other("\(count - same.count) of \(count) rows list other indices")
      }
      rows = Set(same)
    }
    return worst
  }

  private func normalisedError(
    _ made: [Float], _ wanted: [Float], _ what: String
  ) throws(ConformanceError) -> Double {
    guard made.count == wanted.count else { throw .other("\(what) has another size") }
    var (difference, magnitude) = (0.0, 0.0)
    for (index, (a, b)) in zip(made, wanted).enumerated() {
      if a.isNaN && !b.isNaN { throw .other("element \(index) of \(what) is not a number") }
      if a == b || (a.isNaN && b.isNaN) { continue }
      difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
      magnitude += Double(b) * Double(b)
    }
    if difference == 0 { return 0 }
    for (a, b) in zip(made, wanted) where a == b { magnitude += Double(b) * Double(b) }
    return difference / max(magnitude, 1e-30)
  }
}
