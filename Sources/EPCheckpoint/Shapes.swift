/// The product of the sizes, nil if one is negative or the product is past an `Int`.
func elementCount(_ shape: [Int]) -> Int? {
  var count = 1
  var isEmpty = false
  for size in shape {
    guard size >= 0 else { return nil }
    if size == 0 {
      isEmpty = true
      continue
    }
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow else { return nil }
    count = product
  }
  return isEmpty ? 0 : count
}

/// Whether one shape is the other with some axes split, joined, or of size 1 added or dropped.
///
/// The elements are then the same in the same order. `[6, 4]` goes with `[2, 3, 4]` and with
/// `[6, 1, 4]`, not with `[4, 6]`: a matrix stored the other way round is not a reshaped one.
func isReshape(_ first: [Int], _ second: [Int]) -> Bool {
  guard let count = elementCount(first), count == elementCount(second), count > 0 else {
    return first == second
  }
  // Where an axis ends, counted in blocks of the outermost sizes, is what a split adds to.
  func boundaries(_ shape: [Int]) -> Set<Int> {
    var product = 1
    return Set(
      shape.map { size in
        product *= size
        return product
      }
    ).union([1, count])
  }
  let (a, b) = (boundaries(first), boundaries(second))
  return a.isSubset(of: b) || b.isSubset(of: a)
}
