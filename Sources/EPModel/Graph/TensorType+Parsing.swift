extension TensorType {
  /// The most elements a row or a weight may have: 2^52, so that byte counts fit an `Int`.
  public static let mostElements = 1 << 52

  /// Reads what `description` writes: `[tokens, hidden:7168]`, `i[tokens]`.
  public init(parsing text: String) throws(OpError) {
    var rest = Substring(text)
    var element = Element.real
    if rest.first == "i" {
      element = .index
      rest = rest.dropFirst()
    }
    guard rest.first == "[", rest.last == "]", rest.count >= 2 else {
      throw OpError("'\(text)' is no type; write '[tokens, hidden:64]'")
    }
    var axes: [Axis] = []
    let inner = rest.dropFirst().dropLast()
    if !inner.isEmpty {
      for part in inner.split(separator: ",", omittingEmptySubsequences: false) {
        axes.append(try Axis(parsing: String(part.drop { $0 == " " })))
      }
    }
    guard axes.count <= 8, Axis.elements(of: axes) != nil else {
      throw OpError("'\(text)' has over 8 axes or over 2^52 elements")
    }
    self.init(axes, element: element)
  }
}

extension Axis {
  /// The product of the fixed sizes, or nil where it passes `TensorType.mostElements`.
  public static func elements(of axes: [Axis]) -> Int? {
    var count = 1
    for axis in axes {
      let (product, overflow) = count.multipliedReportingOverflow(by: axis.size ?? 1)
      if overflow || product > TensorType.mostElements { return nil }
      count = product
    }
    return count
  }
}

extension Reference {
  /// Reads what `description` writes: `%3`, `@3` or `$3`.
  public init(parsing text: String) throws(OpError) {
    guard let index = Int(text.dropFirst()), index >= 0, index < 1 << 24 else {
      throw OpError("'\(text)' is neither a value '%n', a weight '@n' nor a cache '$n'")
    }
    switch text.first {
    case "%": self = .value(index)
    case "@": self = .weight(index)
    case "$": self = .cache(index)
    default: throw OpError("'\(text)' is neither a value '%n', a weight '@n' nor a cache '$n'")
    }
  }
}
