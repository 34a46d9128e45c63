#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// How near logits are to a reference's.
public struct Agreement: Hashable, Sendable {
  /// The largest difference of two logits.
  public var maxAbsoluteError = 0.0
  /// The largest Kullback-Leibler divergence of a row from the reference's.
  public var divergence = 0.0
  /// The sum of the squares of all differences.
  private var difference = 0.0
  /// The sum of the squares of the reference's logits.
  private var magnitude = 0.0
  /// Rows compared.
  public var rows = 0
  /// Rows whose most likely token is the reference's.
  public var sameTop = 0

  /// Nothing compared yet.
  public init() {}

  /// The root mean square of all differences, as a share of that of the reference's logits; 0 where nothing
  /// was compared.
  public var relativeError: Double { difference == 0 ? 0 : (difference / magnitude).squareRoot() }

  /// The share of rows whose most likely token is the reference's.
  public var topOne: Double { rows == 0 ? 1 : Double(sameTop) / Double(rows) }

  /// Compares rows of so many logits; other sizes count as infinitely far apart.
  public mutating func compare(_ logits: [Float], with reference: [Float], width: Int) {
    guard logits.count == reference.count, width > 0 else {
      maxAbsoluteError = .infinity
      difference = .infinity
      return
    }
    for start in stride(from: 0, to: logits.count, by: width) {
      let own = logits[start..<(start + width)].map(Double.init)
      let other = reference[start..<(start + width)].map(Double.init)
      for (a, b) in zip(own, other) {
        let error = abs(a - b)
        difference += error.isNaN ? .infinity : error * error
        magnitude += b * b
        maxAbsoluteError = error.isNaN ? .infinity : max(maxAbsoluteError, error)
      }
      let (p, q) = (Agreement.logSoftmax(other), Agreement.logSoftmax(own))
      divergence = max(divergence, zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) })
      rows += 1
      if own.indices.max(by: { own[$0] < own[$1] })
        == other.indices.max(by: { other[$0] < other[$1] })
      {
        sameTop += 1
      }
    }
  }

  private static func logSoftmax(_ x: [Double]) -> [Double] {
    let most = x.max() ?? 0
    let sum = log(x.reduce(0) { $0 + exp($1 - most) })
    return x.map { $0 - most - sum }
  }
}
