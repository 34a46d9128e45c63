internal import Glibc

/// What an operation asks of a device, as seconds at its peaks: two resources used at once, and a
/// chain that nothing shortens.
public struct Work: Hashable, Sendable {
  /// What an operation waits for.
  public enum Bound: String, Hashable, Sendable, CaseIterable {
    /// Arithmetic.
    case compute
    /// The device's memory.
    case memory
    /// Links between devices.
    case link
    /// Launches, hops and dependent steps.
    case latency
  }

  /// Seconds of arithmetic (or of the links out of the node) at the peak.
  public var first: Double
  /// Seconds of memory (or of the links inside the node) at the peak.
  public var second: Double
  /// Dependent steps: contracted elements of a GEMM, ranks of an exchange.
  public var depth: Double
  /// Whether the resources are links.
  public var usesLinks: Bool

  /// Makes work out of arithmetic and memory traffic, in seconds at the peaks.
  public init(compute: Double, memory: Double, depth: Double = 0) {
    first = compute
    second = memory
    self.depth = depth
    usesLinks = false
  }

  /// Makes work out of traffic out of the node and inside it, in seconds at the peaks.
  public init(scaleOut: Double, scaleUp: Double, depth: Double = 0) {
    first = scaleOut
    second = scaleUp
    self.depth = depth
    usesLinks = true
  }

  /// Seconds that no implementation can be faster than.
  public var floor: Double { max(first, second) }

  /// What dominates, given the seconds it takes in all.
  public func bound(taking seconds: Double) -> Bound {
    if floor * 3 < seconds { return .latency }
    if usesLinks { return .link }
    return first >= second ? .compute : .memory
  }
}

/// The few numbers that turn work into time: `latency + perDepth * depth + hypot(first /
/// firstEfficiency, second / secondEfficiency)`.
///
/// The root of squares is between the maximum, which overlaps two resources perfectly, and the sum,
/// which does not overlap them.
public struct RooflineFit: Hashable, Sendable {
  /// Seconds before anything flows.
  public var latency: Double
  /// Seconds for each dependent step.
  public var perDepth: Double
  /// The share of the first peak that is reached.
  public var firstEfficiency: Double
  /// The share of the second peak that is reached.
  public var secondEfficiency: Double
  /// Standard deviation of measured over fitted time, in natural logarithms.
  public var deviation: Double

  /// Makes a fit.
  public init(
    latency: Double, perDepth: Double = 0, firstEfficiency: Double, secondEfficiency: Double,
    deviation: Double
  ) {
    self.latency = latency
    self.perDepth = perDepth
    self.firstEfficiency = firstEfficiency
    self.secondEfficiency = secondEfficiency
    self.deviation = deviation
  }

  /// Seconds for some work; grows with each of its parts and is never below its floor.
  public func seconds(for work: Work) -> Double {
    let (first, second) = (work.first / firstEfficiency, work.second / secondEfficiency)
    return latency + perDepth * work.depth + (first * first + second * second).squareRoot()
  }

  /// Fits measured seconds of pieces of work: least squares of the logarithms, one number after the
  /// other, in a fixed number of rounds. Where the samples do not tell the shares of the two peaks,
  /// those of `prior` hold: they weigh less than one sample.
  public static func fit(
    _ samples: [(work: Work, seconds: Double)], prior: RooflineFit? = nil
  ) -> RooflineFit {
    var fit = RooflineFit(
      latency: 3e-6, firstEfficiency: 0.7, secondEfficiency: 0.8, deviation: 0)
    let logarithms = samples.map { log($0.seconds) }
    func loss(_ fit: RooflineFit) -> Double {
      var sum = 0.0
      if let prior {
        let first = log(fit.firstEfficiency / prior.firstEfficiency)
        let second = log(fit.secondEfficiency / prior.secondEfficiency)
        sum = 0.02 * (first * first + second * second)
      }
      for (sample, logarithm) in zip(samples, logarithms) {
        let error = log(fit.seconds(for: sample.work)) - logarithm
        // Outliers count linearly: published tables hold a few rows that a rerun would not repeat.
        sum += abs(error) < 0.3 ? error * error : 0.6 * abs(error) - 0.09
      }
      return sum
    }
    let deepest = samples.reduce(1) { max($0, $1.work.depth) }
    let ranges: [(WritableKeyPath<RooflineFit, Double>, Double, Double)] = [
      (\.latency, 5e-7, 1e-4), (\.perDepth, 1e-9 / deepest, 1e-4 / deepest),
      (\.firstEfficiency, 0.05, 0.95), (\.secondEfficiency, 0.05, 0.95),
    ]
    for _ in 0..<8 {
      for (number, low, high) in ranges {
        fit[keyPath: number] = minimum(from: log(low), to: log(high)) { value in
          var trial = fit
          trial[keyPath: number] = exp(value)
          return loss(trial)
        }
      }
    }
    let squares = zip(samples, logarithms).reduce(0) { sum, pair in
      let error = log(fit.seconds(for: pair.0.work)) - pair.1
      return sum + error * error
    }
    fit.deviation = (squares / Double(max(samples.count, 1))).squareRoot()
    return fit
  }

  /// The argument's exponential where a function is least, by golden section.
  private static func minimum(
    from start: Double, to end: Double, _ function: (Double) -> Double
  ) -> Double {
    let ratio = (5.0.squareRoot() - 1) / 2
    var (low, high) = (start, end)
    var (left, right) = (high - ratio * (high - low), low + ratio * (high - low))
    var (atLeft, atRight) = (function(left), function(right))
    for _ in 0..<20 {
      if atLeft <= atRight {
        (high, right, atRight) = (right, left, atLeft)
        left = high - ratio * (high - low)
        atLeft = function(left)
      } else {
        (low, left, atLeft) = (left, right, atRight)
        right = low + ratio * (high - low)
        atRight = function(right)
      }
    }
    return exp(atLeft <= atRight ? left : right)
  }
}
