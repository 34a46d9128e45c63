/// Where the loads of a model's experts come from, before it is known which layers they are for.
public enum LoadSource: Hashable, Sendable {
  /// Counted tokens.
  case measured(ExpertLoads)
  /// A distribution, and what it is drawn from.
  case drawn(LoadDistribution, seed: UInt64)

  /// Tokens of a layer that is drawn.
  public static let tokens: Double = 1_048_576

  /// Reads the name of a distribution, such as `zipf:1.0` or with a seed `zipf:1.0@7`, or else the
  /// file of that name: see `ExpertLoads.init(file:)`.
  public init(parsing text: String) throws(PlacementError) {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts[0].prefix { $0 != ":" }
    guard LoadDistribution.names.contains(String(name)) else {
      do { self = .measured(try ExpertLoads(file: text)) } catch {
        guard case .file(let reason) = error else { throw error }
        throw .file(
          "\(reason); without a file, take 'uniform', 'zipf:EXPONENT' or 'lognormal:SIGMA'")
      }
      return
    }
    guard let seed = parts.count == 2 ? UInt64(parts[1]) : 1 else { throw .distribution(text) }
    self = .drawn(try LoadDistribution(parsing: String(parts[0])), seed: seed)
  }

  /// The loads of the given layers of a model with `modelLayers` layers, dense ones counted.
  public func loads(
    layers: [Int], of modelLayers: Int, experts: Int
  ) throws(PlacementError) -> ExpertLoads {
    switch self {
    case .measured(let loads):
      let matched = try loads.matched(to: layers, of: modelLayers)
      if matched.experts != experts {
        throw .shape("loads of \(matched.experts) experts for layers with \(experts)")
      }
      return matched
    case .drawn(let distribution, let seed):
      return try distribution.loads(
        layers: layers.count, experts: experts, tokens: LoadSource.tokens, seed: seed
      ).matched(to: layers, of: modelLayers)
    }
  }
}

extension ExpertLoads {
  /// The same loads under a model's numbers of its layers with experts.
  ///
  /// Rows for exactly these layers are taken in order; of rows for all layers of the model, or for
  /// more of them than asked for, those that are.
  public func matched(
    to wanted: [Int], of modelLayers: Int
  ) throws(PlacementError) -> ExpertLoads {
    if rows.count == wanted.count { return try ExpertLoads(rows: rows, layers: wanted) }
    let own = rows.count == modelLayers ? Array(0..<modelLayers) : layers
    let places = wanted.map { own.firstIndex(of: $0) }
    if places.contains(nil) {
      throw .shape(
        "loads of \(rows.count) layers for \(wanted.count) with experts; give a row for each of "
          + "those, in order")
    }
    return try ExpertLoads(rows: places.compactMap { $0 }.map { rows[$0] }, layers: wanted)
  }
}
