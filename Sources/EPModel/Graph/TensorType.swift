/// The type of a value: named axes, the row axis first, and what the elements are.
public struct TensorType: Hashable, Sendable {
  /// What the elements are; how many bits a real takes is the plan's decision, not the model's.
  public enum Element: String, Hashable, Sendable, CaseIterable {
    /// A real number in the plan's activation type.
    case real
    /// A 32-bit index: a token, an expert, a position; -1 stands for none.
    case index
  }

  /// The axes, outermost first.
  public var axes: [Axis]
  /// What the elements are.
  public var element: Element

  /// Makes a type from its axes.
  public init(_ axes: [Axis], element: Element = .real) {
    self.axes = axes
    self.element = element
  }

  /// Elements per row: the product of all fixed sizes.
  public var elementsPerRow: Int {
    axes.reduce(1) { $0.saturatingProduct($1.size ?? 1) }
  }

  /// The row axis, if the value has one.
  public var rows: Axis? { axes.first.flatMap { $0.isRows ? $0 : nil } }

  /// The axis of that name, if there is one.
  public func axis(named name: String) -> Axis? { axes.first { $0.name == name } }

  /// The position of the axis of that name, if there is one.
  public func position(of name: String) -> Int? { axes.firstIndex { $0.name == name } }
}

extension TensorType: CustomStringConvertible {
  /// `[tokens, hidden:7168]`, with `i` in front when the elements are indices.
  public var description: String {
    (element == .index ? "i" : "") + "[" + axes.map(\.description).joined(separator: ", ") + "]"
  }
}
