/// State that a layer keeps for each sequence between steps.
public struct CacheDeclaration: Hashable, Sendable {
  /// What the state is.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// Keys and values, one entry a token.
    case keyValue = "key_value"
    /// The compressed latent and the shared rotary key of MLA, one entry a token.
    case latent
    /// Keys of a sparse-attention indexer, one entry a token.
    case indexKey = "index_key"
    /// The matrix state of linear attention, one entry a sequence.
    case recurrent
    /// The last inputs of a short convolution, one entry a sequence.
    case convolution

    /// Whether it grows with the context.
    public var growsWithContext: Bool {
      switch self {
      case .keyValue, .latent, .indexKey: return true
      case .recurrent, .convolution: return false
      }
    }
  }

  /// The name within its function.
  public var name: String
  /// What it is.
  public var kind: Kind
  /// The axes of each part of an entry: keys and values for `keyValue`, latent and rotary key for
  /// `latent`, one part otherwise.
  public var parts: [[Axis]]
  /// How many of the latest tokens it must hold, or nil for all.
  public var window: Int?

  /// Makes a cache.
  public init(_ name: String, kind: Kind, parts: [[Axis]], window: Int? = nil) {
    self.name = name
    self.kind = kind
    self.parts = parts
    self.window = window
  }

  /// Elements of one entry, over all parts.
  public var elementsPerEntry: Int {
    parts.reduce(0) { $0.saturatingSum(TensorType($1).elementsPerRow) }
  }
}
