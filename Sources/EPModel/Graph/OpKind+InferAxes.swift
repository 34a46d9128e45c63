// Shape rules of operations along axes.
extension Operation {
  func inferNorm(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.real(false, "x")
    let normed = try trailingAxes(of: x, read)
    for role in ["weight", "bias"] {
      guard let type = read.optional(role) else { continue }
      try read.require(
        type.axes == normed, "the norm's \(role) is \(type), its axes are \(TensorType(normed))")
    }
    if let squares = read.optional("squares") {
      try read.require(
        squares.axes == Array(x.axes.dropLast(normed.count)) && attributes.int("count") > 0,
        "the sums of squares \(squares) do not fit \(x)")
    }
    try read.require(attributes.real("epsilon") >= 0, "a norm's epsilon is not negative")
    return x
  }

  func inferSumSquares(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    return TensorType(Array(x.axes.dropLast(try trailingAxes(of: x, read).count)))
  }

  private func trailingAxes(of x: TensorType, _ read: OperandTypes) throws(OpError) -> [Axis] {
    let names = attributes.texts("axes")
    let trailing = Array(x.axes.suffix(names.count))
    try read.require(
      !names.isEmpty && trailing.map(\.name) == names && trailing.allSatisfy { !$0.isRows },
      "'\(kind.rawValue)' runs along \(names), which are not the last axes of \(x)")
    return trailing
  }

  func inferSoftmax(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let name = attributes.text("axis")
    try read.require(
      x.axis(named: name)?.isRows == false, "softmax runs along '\(name)', no fixed axis of \(x)")
    return x
  }

  func inferReduce(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let names = attributes.texts("axes")
    for name in names {
      try read.require(
        x.axis(named: name)?.isRows == false, "'\(name)' is not a fixed axis of \(x)")
    }
    return TensorType(x.axes.filter { !names.contains($0.name) })
  }

  func inferSlice(_ read: OperandTypes) throws(OpError) -> TensorType {
    var x = try read.rows("x")
    let name = attributes.text("axis")
    let start = attributes.int("start")
    let count = attributes.int("count")
    guard let position = x.position(of: name), let size = x.axes[position].size else {
      throw OpError("'\(name)' is not a fixed axis of \(x)")
    }
    try read.require(
      start >= 0 && count > 0 && start <= size && count <= size - start,
      "elements \(start)..<\(start &+ count) are not in '\(name)' of size \(size)")
    x.axes[position].size = count
    return x
  }

  func inferConcat(_ read: OperandTypes) throws(OpError) -> TensorType {
    let name = attributes.text("axis")
    var result: TensorType?
    for reference in operands("x") {
      guard let type = read.function.type(of: reference), let position = type.position(of: name),
        let size = type.axes[position].size
      else { throw OpError("'concat' joins values along '\(name)', an axis one of them lacks") }
      guard var joined = result else {
        result = type
        continue
      }
      var other = type
      other.axes[position].size = joined.axes.count > position ? joined.axes[position].size : nil
      try read.require(
        other == joined, "'concat' along '\(name)' cannot join \(joined) and \(type)")
      joined.axes[position].size = (joined.axes[position].size ?? 0).saturatingSum(size)
      result = joined
    }
    guard let result else { throw OpError("'concat' joins nothing") }
    return result
  }

  func inferReshape(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let from = attributes.texts("from")
    var to: [Axis] = []
    for text in attributes.texts("to") { to.append(try Axis(parsing: text)) }
    guard let first = from.first, let start = x.position(of: first),
      x.axes.dropFirst(start).prefix(from.count).map(\.name) == from,
      to.allSatisfy({ !$0.isRows }), start > 0
    else { throw OpError("\(from) are not consecutive axes of \(x)") }
    let old = x.axes[start..<(start + from.count)]
    let oldCount = TensorType(Array(old)).elementsPerRow
    var newCount = 1
    for axis in to {
      let (product, overflow) = newCount.multipliedReportingOverflow(by: axis.size ?? 1)
      try read.require(!overflow, "the axes \(to) are too large")
      newCount = product
    }
    try read.require(
      oldCount == newCount,
      "\(TensorType(Array(old))) has \(oldCount) elements, \(TensorType(to)) has \(newCount)")
    var axes = x.axes
    axes.replaceSubrange(start..<(start + from.count), with: to)
    try read.require(
      Set(axes.map(\.name)).count == axes.count, "reshape would give \(x) an axis twice")
    return TensorType(axes, element: x.element)
  }

  func inferRope(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let rotated = attributes.int("rotated")
    let size = x.axes[x.axes.count - 1].size ?? 0
    try read.require(
      rotated > 0 && rotated % 2 == 0 && rotated <= size,
      "rope rotates \(rotated) elements, an even number of at most \(size) is possible")
    return x
  }
}
