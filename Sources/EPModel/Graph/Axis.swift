/// One named dimension of a tensor.
///
/// Row axes (`tokens`, `own_tokens`, `sampled`, `routed`) have no size in the program: they are as long as the batch of a
/// step, or as the rows a rank received. All other axes have a fixed size.
public struct Axis: Hashable, Sendable {
  /// How the compiler may spread an axis over ranks.
  public enum Split: String, Hashable, Sendable, CaseIterable {
    /// Every rank holds the whole axis.
    case never
    /// Tensor parallelism may split it: heads, the inner size of a feed-forward, the vocabulary.
    case tensor
    /// Expert parallelism splits it: the axis counts logical experts.
    case expert
  }

  /// The name; axes of one operation that share a name must share a size.
  public var name: String
  /// The size in elements, or nil for a row axis.
  public var size: Int?
  /// What may split it.
  public var split: Split

  /// Makes an axis of a fixed size that no rank splits unless `split` says so.
  public init(_ name: String, _ size: Int, split: Split = .never) {
    self.name = name
    self.size = size
    self.split = split
  }

  private init(rows name: String) {
    self.name = name
    self.size = nil
    self.split = .never
  }

  /// Whether this is a row axis, whose length is known at run time only.
  public var isRows: Bool { size == nil }

  /// The tokens of a step on one device, all sequences one after the other.
  public static let tokens = Axis(rows: "tokens")
  /// The tokens of a data group that one of its tensor ranks keeps: a contiguous share of
  /// `tokens`. Only sharded functions have this axis.
  public static let ownTokens = Axis(rows: "own_tokens")
  /// The tokens of a step whose logits are wanted: the last of each sequence, or more. Only plans
  /// have this axis.
  public static let sampled = Axis(rows: "sampled")
  /// The (token, expert) pairs that experts of one device work on, ordered by expert.
  public static let routed = Axis(rows: "routed")

  /// The model's hidden size.
  public static func hidden(_ size: Int) -> Axis { Axis("hidden", size) }
  /// Query heads; tensor parallelism splits them.
  public static func heads(_ count: Int) -> Axis { Axis("heads", count, split: .tensor) }
  /// Key and value heads; tensor parallelism splits them and, beyond their number, repeats them.
  public static func keyValueHeads(_ count: Int) -> Axis {
    Axis("kv_heads", count, split: .tensor)
  }
  /// The inner size of a feed-forward; tensor parallelism splits it.
  public static func intermediate(_ size: Int) -> Axis {
    Axis("intermediate", size, split: .tensor)
  }
  /// Logical routed experts; expert parallelism splits them.
  public static func experts(_ count: Int) -> Axis { Axis("experts", count, split: .expert) }
  /// The vocabulary; tensor parallelism splits it.
  public static func vocabulary(_ size: Int) -> Axis { Axis("vocabulary", size, split: .tensor) }

  /// The axis with another size.
  public func resized(to size: Int) -> Axis {
    var copy = self
    copy.size = size
    return copy
  }
}

extension Axis: CustomStringConvertible {
  /// `tokens`, `hidden:7168`, `heads:128@tensor`.
  public var description: String {
    guard let size else { return name }
    return split == .never ? "\(name):\(size)" : "\(name):\(size)@\(split.rawValue)"
  }
}
