public import EPCheckpoint

/// Where weights come from.
public enum WeightSource: Sendable {
  /// A checkpoint in Hugging Face's format.
  case checkpoint(Checkpoint)
  /// Random numbers that depend on the seed, the weight's name and the element's place alone.
  case synthetic(seed: UInt64)

  /// Reads `synthetic:SEED`, or opens the folder or file of a checkpoint.
  public init(parsing text: String) throws(WeightError) {
    if text.hasPrefix("synthetic:"), let seed = UInt64(text.dropFirst("synthetic:".count)) {
      self = .synthetic(seed: seed)
      return
    }
    do { self = .checkpoint(try Checkpoint.open(text)) } catch { throw .checkpoint(error) }
  }
}
