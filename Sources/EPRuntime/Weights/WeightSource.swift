public import EPCheckpoint
internal import EPModel
internal import EPPlan

/// Where weights come from.
public enum WeightSource: Sendable {
  /// A checkpoint in Hugging Face's format.
  case checkpoint(Checkpoint)
  /// Random numbers that depend on the seed, the weight's name and the element's place alone.
  case synthetic(seed: UInt64)

  /// Reads `synthetic:SEED`, or opens the folder or file of a checkpoint.
  public init(parsing text: String) throws(WeightError) {
    if text.hasPrefix("synthetic:") {
      guard let seed = UInt64(text.dropFirst("synthetic:".count)) else { throw .seed(text: text) }
      self = .synthetic(seed: seed)
      return
    }
    do { self = .checkpoint(try Checkpoint.open(text)) } catch { throw .checkpoint(error) }
  }
}

extension WeightSource {
  /// A part of a weight that a rank holds: all of it, or one expert's.
  func part(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, expert: Int?, uses: WeightUse,
    as form: WeightStore.Form?
  ) throws(WeightError) -> WeightPart {
    switch self {
    case .synthetic(let seed):
      return WeightPart(
        .synthetic(seed: seed, expert: expert), of: slice, box, uses: uses, as: form,
        expert: expert)
    case .checkpoint(let checkpoint):
      return try checkpoint.part(slice, box, expert: expert, uses: uses, as: form)
    }
  }
}
