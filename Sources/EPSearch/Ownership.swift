public import EPIR

/// What it costs to serve a demand with one kind of deployment.
public struct Ownership: Sendable {
  /// How the model is split.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// The best that was found.
    case found
    /// The best with tensor and pipeline parallelism alone.
    case conventional
  }

  /// Hours of a month.
  public static let hoursPerMonth = 730.0

  /// How the model is split.
  public var kind: Kind
  /// The deployment; nil where none keeps the limits.
  public var deployment: Deployment?
  /// Deployments that the demand takes.
  public var copies: Int
  /// Devices in all of them that are in use.
  public var devices: Int
  /// Dollars a month, if the price is known.
  public var dollarsPerMonth: Double?
  /// Dollars for a million tokens made, if the price is known, were the demand to fill all copies.
  public var dollarsPerMillionTokens: Double?
}

extension SearchResult {
  /// What it costs to serve so many requests a second, beside tensor and pipeline parallelism alone on
  /// the same devices under the same limits.
  public func ownership(requestRate: Double, threads: Int) throws(Diagnostics) -> [Ownership] {
    var conventional = problem
    conventional.space.hasExpertParallelism = false
    conventional.space.tensor = [1, 2, 4, 8, 16, 32]
    var other: Deployment?
    do { other = try Search(conventional, threads: threads).run().best.first } catch {
      // Without expert parallelism the model may not fit at all.
      other = nil
    }
    return [(Ownership.Kind.found, best.first), (.conventional, other)].map { kind, deployment in
      guard let deployment else {
        return Ownership(kind: kind, deployment: nil, copies: 0, devices: 0)
      }
      let copies = Int((requestRate / deployment.requestRate).rounded(.up))
      let devices = copies * deployment.devicesUsed
      return Ownership(
        kind: kind, deployment: deployment, copies: copies, devices: devices,
        dollarsPerMonth: problem.dollarsPerHour.map {
          $0 * Double(devices) * Ownership.hoursPerMonth
        },
        dollarsPerMillionTokens: deployment.dollarsPerMillionTokens(problem))
    }
  }
}

extension Deployment {
  /// Dollars for a million tokens made, if the price is known; idle devices are not paid.
  public func dollarsPerMillionTokens(_ problem: SearchProblem) -> Double? {
    problem.dollarsPerHour.map { $0 / 3600 / throughputOfUsed * 1e6 }
  }
}
