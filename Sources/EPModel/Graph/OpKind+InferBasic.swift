// Shape rules of tables, contractions and element-wise operations.
extension Operation {
  func inferEmbed(_ read: OperandTypes) throws(OpError) -> TensorType {
    let ids = try read.type("ids")
    let table = try read.type("table")
    try read.require(
      ids.element == .index && ids.axes.count == 1, "'ids' is \(ids), not one index a row")
    try read.require(table.axes.count >= 2, "the table \(table) has no vocabulary and no width")
    return TensorType(ids.axes + table.axes.dropFirst())
  }

  /// The weight's axes are `[experts] + batch + out + contract`; the result keeps the rows and the
  /// batch axes of `x` and appends the out axes.
  func inferLinear(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let weight = try read.type("weight")
    let contract = attributes.texts("contract")
    let batch = attributes.texts("batch")
    try read.require(x.element == .real, "'x' of a linear is an index")
    try read.require(!contract.isEmpty, "a linear contracts at least one axis")
    var axes = weight.axes
    if let first = axes.first, first.split == .expert {
      try read.require(
        x.rows == .routed, "a linear with experts reads rows that were dispatched to them")
      axes.removeFirst()
    }
    let kept = x.axes.dropFirst().filter { !contract.contains($0.name) }
    try read.require(
      kept.map(\.name) == batch,
      "the linear leaves axes \(kept) of x, and has batch axes \(batch); contract them or batch them"
    )
    try read.require(
      axes.count >= batch.count + contract.count
        && Array(axes.prefix(batch.count)) == Array(kept),
      "the weight \(weight) does not begin with the batch axes \(kept)")
    for (name, axis) in zip(contract, axes.suffix(contract.count)) {
      guard let own = x.axis(named: name), own.size == axis.size, axis.name == name else {
        throw OpError("the linear contracts '\(name)', but x is \(x) and the weight is \(weight)")
      }
    }
    let out = axes.dropFirst(batch.count).dropLast(contract.count)
    if let bias = read.optional("bias") {
      let experts = weight.axes.prefix(weight.axes.count - axes.count)
      try read.require(
        bias.axes == Array(experts) + kept + Array(out),
        "the bias is \(bias), but the linear makes \(TensorType(kept + Array(out)))")
    }
    let result = [x.axes[0]] + kept + Array(out)
    try read.require(
      Set(result.map(\.name)).count == result.count,
      "the linear would make \(TensorType(result)), with one axis twice")
    return TensorType(result)
  }

  func inferContract(_ read: OperandTypes) throws(OpError) -> TensorType {
    let a = try read.rows("a")
    let b = try read.rows("b")
    try read.require(a.axes[0] == b.axes[0], "'contract' reads \(a) and \(b), of different rows")
    let contract = attributes.texts("contract")
    for axis in b.axes {
      if let other = a.axis(named: axis.name) {
        try read.require(
          other.size == axis.size, "axis '\(axis.name)' has two sizes in \(a) and \(b)")
      } else {
        try read.require(!contract.contains(axis.name), "'\(axis.name)' is not an axis of \(a)")
      }
    }
    for name in contract {
      try read.require(
        a.axis(named: name) != nil && b.axis(named: name) != nil,
        "'\(name)' is not an axis of both \(a) and \(b)")
    }
    let keptA = a.axes.filter { !contract.contains($0.name) }
    let keptB = b.axes.filter { axis in
      !contract.contains(axis.name) && a.axis(named: axis.name) == nil
    }
    return TensorType(keptA + keptB)
  }

  /// The operand with more axes must have all axes of the other.
  func inferBinary(_ read: OperandTypes) throws(OpError) -> TensorType {
    let a = try read.real(false, "a")
    let b = try read.real(false, "b")
    let (wide, narrow) = a.axes.count >= b.axes.count ? (a, b) : (b, a)
    for axis in narrow.axes {
      try read.require(
        wide.axis(named: axis.name)?.size == axis.size && wide.axis(named: axis.name) != nil,
        "'\(attributes.text("function"))' cannot join \(a) and \(b); axis '\(axis.name)' differs")
    }
    return wide
  }

  func inferGLU(_ read: OperandTypes) throws(OpError) -> TensorType {
    let gate = try read.rows("gate")
    let up = try read.rows("up")
    try read.require(
      gate.axes == up.axes && gate.element == .real, "gate \(gate) and up \(up) differ")
    return gate
  }

  /// Along rows, a gather makes all tokens of each rank's own ones, and a scatter the reverse.
  func inferGather(_ read: OperandTypes, gathers: Bool) throws(OpError) -> TensorType {
    var type = try read.rows("x")
    let name = attributes.text("axis")
    let parts = attributes.int("parts")
    let (from, to) = gathers ? (Axis.ownTokens, Axis.tokens) : (Axis.tokens, Axis.ownTokens)
    if name == from.name && type.axes[0] == from && parts > 0 {
      type.axes[0] = to
      return type
    }
    guard let position = type.position(of: name), parts > 0 else {
      throw OpError("'\(kind.rawValue)' along '\(name)' of \(type)")
    }
    guard let size = type.axes[position].size else {
      throw OpError("'\(kind.rawValue)' along '\(name)' of \(type)")
    }
    try read.require(
      gathers || size % parts == 0, "'\(name)' of \(type) does not fall into \(parts) parts")
    let (product, overflow) = size.multipliedReportingOverflow(by: parts)
    try read.require(!overflow, "'\(name)' of \(type) times \(parts) is too large")
    type.axes[position].size = gathers ? product : size / parts
    return type
  }

  func inferScatterRows(_ read: OperandTypes) throws(OpError) -> TensorType {
    var type = try read.rows("x")
    try read.require(type.axes[0] == .tokens, "'scatter_rows' takes all tokens, not \(type)")
    type.axes[0] = .ownTokens
    return type
  }

  func inferSampleRows(_ read: OperandTypes) throws(OpError) -> TensorType {
    var type = try read.rows("x")
    try read.require(
      type.axes[0] == .tokens || type.axes[0] == .ownTokens,
      "'sample_rows' takes rows of tokens, not \(type)")
    type.axes[0] = .sampled
    return type
  }

  func inferReceive() throws(OpError) -> TensorType {
    var axes: [Axis] = []
    for text in attributes.texts("axes") { axes.append(try Axis(parsing: text)) }
    return TensorType(axes)
  }
}
