/// A straight-line function over tensors: the body of a layer, the embedding, the head or an MTP
/// depth. Layers that differ only in their weights share one function.
public struct Function: Hashable, Sendable {
  /// A named value at the boundary of a function.
  public struct Port: Hashable, Sendable {
    /// What it is: `ids`, `x`, `modality`, `hidden`, `logits`.
    public var name: String
    /// The value, as an index into the function's values.
    public var value: Int

    /// Makes a port.
    public init(_ name: String, _ value: Int) {
      self.name = name
      self.value = value
    }
  }

  /// The name, unique in the program.
  public var name: String
  /// What it is called with.
  public var parameters: [Port]
  /// The type of every value, parameters and results alike.
  public var values: [TensorType]
  /// The weights it reads.
  public var weights: [WeightDeclaration]
  /// The state it keeps.
  public var caches: [CacheDeclaration]
  /// The operations, each after those it reads from.
  public var operations: [Operation]
  /// What it returns.
  public var results: [Port]

  /// Makes an empty function.
  public init(_ name: String) {
    self.name = name
    parameters = []
    values = []
    weights = []
    caches = []
    operations = []
    results = []
  }

  /// The type of what a reference names; the parts of a cache have no single type.
  public func type(of reference: Reference) -> TensorType? {
    switch reference {
    case .value(let index): return values.indices.contains(index) ? values[index] : nil
    case .weight(let index): return weights.indices.contains(index) ? weights[index].type : nil
    case .cache: return nil
    }
  }
}
