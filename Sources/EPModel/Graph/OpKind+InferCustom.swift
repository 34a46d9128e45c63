// The shape rule of operations that the library does not know: data, so that it can be checked.
extension Operation {
  /// The rows of the first operand, with axes taken from operands by name.
  func inferCustom(_ read: OperandTypes) throws(OpError) -> TensorType {
    let name = attributes.text("name")
    try read.require(
      Operation.isCustomName(name),
      "'\(name)' is no name of an operation; take up to 64 letters, digits, '_', '-' and '.'")
    try read.require(
      attributes.real("operations") >= 0,
      "'\(name)' takes \(attributes.real("operations")) operations")
    var types: [TensorType] = []
    for reference in operands("x") {
      guard let type = read.function.type(of: reference) else {
        throw OpError("'\(name)' reads what is not there")
      }
      types.append(type)
    }
    guard let first = types.first, let rows = first.rows, case .value? = operands("x").first else {
      throw OpError("the first operand of '\(name)' is a value with rows")
    }
    var sizes: [String: Axis] = [:]
    for type in types {
      try read.require(type.element == .real, "'\(name)' reads \(type), and computes with reals")
      try read.require(
        type.rows == nil || (type.rows == rows && type.axes[0].isRows),
        "'\(name)' reads rows of \(first) and of \(type)")
      for axis in type.axes where !axis.isRows {
        try read.require(
          axis.split != .expert,
          "'\(name)' reads \(type); each expert needs an operation of its own")
        if let known = sizes[axis.name] {
          try read.require(
            known.size == axis.size,
            "'\(name)' reads '\(axis.name)' in two sizes, \(known) and \(axis)")
        } else {
          sizes[axis.name] = axis
        }
      }
    }
    var axes = [first.axes[0]]
    for wanted in attributes.texts("shape") {
      guard let axis = sizes[wanted] else {
        throw OpError("'\(name)' makes an axis '\(wanted)' that none of its operands has")
      }
      try read.require(!axes.contains(axis), "'\(name)' makes '\(wanted)' twice")
      axes.append(axis)
    }
    for wanted in attributes.texts("split") {
      try read.require(
        axes.contains { $0.name == wanted && !$0.isRows },
        "'\(name)' is computed in parts of '\(wanted)', which it does not make")
    }
    return TensorType(axes)
  }

  /// Whether a text can name an operation that the library does not know.
  static func isCustomName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count)
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
          UInt8(ascii: "."):
          return true
        default: return false
        }
      }
  }
}
