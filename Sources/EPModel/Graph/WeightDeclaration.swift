/// A weight of a function: its axes and how a checkpoint stores it.
public struct WeightDeclaration: Hashable, Sendable {
  /// What a weight is for: it decides which precision applies.
  public enum Role: String, Hashable, Sendable, CaseIterable {
    /// A matrix that activations are multiplied with.
    case linear
    /// A matrix of routed experts.
    case expert
    /// The token table and the output projection.
    case embedding
    /// The router's matrix and its correction bias.
    case router
    /// Everything small: norms, biases, sinks, decay rates, convolutions.
    case vector
    /// A number the model file computed; in no checkpoint.
    case constant
  }

  /// The name, with `{layer}` and `{expert}` left open: `model.layers.{layer}.mlp.gate.weight`.
  public var name: String
  /// The axes, outermost first. The element order equals the stored tensor's.
  public var axes: [Axis]
  /// What it is for.
  public var role: Role
  /// Where a checkpoint may hold it, in order of preference; empty for constants.
  public var stored: [StoredTensor]
  /// A constant's elements, a row for each layer that calls the function; empty otherwise.
  public var constants: [[Double]]

  /// Makes a weight.
  public init(
    _ name: String, axes: [Axis], role: Role, stored: [StoredTensor], constants: [[Double]] = []
  ) {
    self.name = name
    self.axes = axes
    self.role = role
    self.stored = stored
    self.constants = constants
  }

  /// The number of elements, over all experts.
  public var elementCount: Int { axes.reduce(1) { $0.saturatingProduct($1.size ?? 1) } }

  /// The type an operation sees.
  public var type: TensorType { TensorType(axes) }
}

/// A place in a checkpoint that holds a weight, whole or in part.
public struct StoredTensor: Hashable, Sendable {
  /// Which rows of the stored tensor belong to the weight. Rows count the first axis after the
  /// expert axis, if there is one.
  public enum Rows: Hashable, Sendable {
    /// All of them.
    case all
    /// `count` rows from `start`, of `total`.
    case range(start: Int, count: Int, total: Int)
    /// Rows `index`, `index + stride`, `index + 2 * stride`, ...
    case interleaved(index: Int, stride: Int)
  }

  /// The tensor's name, with `{layer}` and, if each expert has its own tensor, `{expert}`.
  public var name: String
  /// Whether the last two dimensions are swapped on disk; `rows` counts after swapping back.
  public var transposed: Bool
  /// Which rows.
  public var rows: Rows

  /// Makes a place.
  public init(_ name: String, transposed: Bool = false, rows: Rows = .all) {
    self.name = name
    self.transposed = transposed
    self.rows = rows
  }
}
