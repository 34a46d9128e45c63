/// The shape of a weight as the model sees it.
///
/// The first axis, or the first after that of the experts, is the rows; the others together are
/// the columns: `[heads, size, hidden]` is a matrix of `heads` by `size * hidden`.
public struct WeightShape: Hashable, Sendable {
  /// The size of the leading axis of experts, nil if there is none.
  public let expertCount: Int?
  /// The sizes of the other axes, outermost first.
  public let dimensions: [Int]

  /// A weight of `dimensions`, or of `[experts] + dimensions`.
  public init(experts: Int? = nil, _ dimensions: [Int]) {
    self.expertCount = experts
    self.dimensions = dimensions
  }

  /// The number of matrices: that of experts, or 1.
  public var experts: Int { expertCount ?? 1 }
  /// The rows of each matrix; 1 for a scalar.
  public var rows: Int { dimensions.first ?? 1 }
  /// The columns of each matrix; 1 for a vector.
  public var columns: Int { dimensions.dropFirst().reduce(1, *) }
  /// All of the weight.
  public var all: WeightSlice {
    WeightSlice(experts: 0..<experts, rows: 0..<rows, columns: 0..<columns)
  }

  /// All the axes with `rows` in place of the weight's own, and last if the tensor is transposed.
  func stored(rows: Int, transposed: Bool) -> [Int] {
    let others = Array(dimensions.dropFirst())
    return (expertCount.map { [$0] } ?? []) + (transposed ? others + [rows] : [rows] + others)
  }
}

extension WeightShape: CustomStringConvertible {
  /// The shape in words.
  public var description: String {
    "\(experts) x \(rows) x \(columns) elements (experts, rows, columns)"
  }
}

/// A box of a weight: some experts, of each some rows, of each some columns.
public struct WeightSlice: Hashable, Sendable {
  /// Which experts; `0..<1` for a weight without an axis of experts.
  public var experts: Range<Int>
  /// Which rows of each expert.
  public var rows: Range<Int>
  /// Which columns of each row.
  public var columns: Range<Int>

  /// The box of `experts` by `rows` by `columns`.
  public init(experts: Range<Int> = 0..<1, rows: Range<Int>, columns: Range<Int>) {
    self.experts = experts
    self.rows = rows
    self.columns = columns
  }

  /// The number of elements.
  public var count: Int { experts.count * rows.count * columns.count }

  /// Whether the box lies inside a weight of `shape`.
  func isInside(_ shape: WeightShape) -> Bool {
    func holds(_ limit: Int, _ range: Range<Int>) -> Bool {
      range.lowerBound >= 0 && range.upperBound <= limit
    }
    return holds(shape.experts, experts) && holds(shape.rows, rows)
      && holds(shape.columns, columns)
  }
}

extension WeightSlice: CustomStringConvertible {
  /// The three ranges.
  public var description: String { "[\(experts), \(rows), \(columns)]" }
}
