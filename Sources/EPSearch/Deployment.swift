internal import EPCost
internal import EPIR
internal import EPPlan

/// Pools on a cluster, and what they deliver together.
public struct Deployment: Hashable, Sendable {
  /// The pool that reads prompts; nil where the other one does.
  public var prefill: PoolPoint?
  /// Instances of it.
  public var prefillInstances: Int
  /// The pool that makes tokens.
  public var decode: PoolPoint
  /// Instances of it.
  public var decodeInstances: Int
  /// Devices of the cluster.
  public var devices: Int
  /// Requests a second.
  public var requestRate: Double
  /// Tokens made a second.
  public var tokenRate: Double
  /// Seconds until the first token, on average, with waiting.
  public var timeToFirstToken: Double
  /// Seconds between tokens of a request.
  public var timePerToken: Double
  /// Seconds that a prompt's cache takes to the decode pool.
  public var transferSeconds: Double
  /// The part of the time that prefill is busy.
  public var prefillUtilization: Double

  /// Devices in use.
  public var devicesUsed: Int {
    (prefill?.devices ?? 0) * prefillInstances + decode.devices * decodeInstances
  }
  /// Devices that do nothing.
  public var devicesIdle: Int { devices - devicesUsed }
  /// Tokens a second over all devices of the cluster.
  public var throughput: Double { tokenRate / Double(devices) }
  /// Tokens a second over the devices in use.
  public var throughputOfUsed: Double { tokenRate / Double(max(devicesUsed, 1)) }
  /// Tokens a second and device as fronts have it: of devices in use where only those are paid.
  public func yield(_ objective: SearchProblem.Objective) -> Double {
    objective == .cost ? throughputOfUsed : throughput
  }
  /// Tokens a second that one user sees.
  public var tokensPerUser: Double { 1 / timePerToken }

  /// Seconds from a request to its last token, where its prompt waits for no other one: what waits
  /// depends on how many come, and few of them would make any deployment look fast.
  func latency(outputLength: Int) -> Double {
    let reading = prefill.map { $0.readingTime + transferSeconds } ?? decode.readingTime
    return reading + timePerToken * Double(max(outputLength - 1, 0))
  }

  /// Whether it keeps the limits on latency.
  func keeps(limitsOf problem: SearchProblem) -> Bool {
    timePerToken <= problem.timePerToken
      && timeToFirstToken <= problem.timeToFirstToken * (1 + 1e-9)
  }

  /// What the objective says of it; more is better.
  func score(_ problem: SearchProblem) -> Double {
    switch problem.objective {
    case .throughput: return throughput
    case .cost: return throughputOfUsed
    case .latency: return 1 / latency(outputLength: problem.outputLength)
    }
  }

  /// Whether it is the better one: by the objective, then the faster for users, then the one with
  /// fewer devices. What differs by less than a part in 10^9 counts as equal.
  func isBetter(than other: Deployment, _ problem: SearchProblem) -> Bool {
    func differs(_ first: Double, _ second: Double) -> Bool {
      abs(first - second) > 1e-9 * max(abs(first), abs(second))
    }
    let (own, others) = (score(problem), other.score(problem))
    if differs(own, others) { return own > others }
    if differs(throughput, other.throughput) { return throughput > other.throughput }
    if differs(timePerToken, other.timePerToken) { return timePerToken < other.timePerToken }
    if devicesUsed != other.devicesUsed { return devicesUsed < other.devicesUsed }
    return timeToFirstToken < other.timeToFirstToken
  }
}

/// Puts pools together.
struct DeploymentBuilder {
  let problem: SearchProblem
  /// Seconds that a prompt's cache takes to the decode pool.
  let transferSeconds: Double

  /// What a number of instances of both pools delivers, or nil where the first token cannot come in
  /// time.
  ///
  /// Prompts wait for prefill as in a queue with random arrivals and a fixed service time (M/D/1), the
  /// pool as one server: `utilization / (2 rate (1 - utilization))`.
  func deployment(
    _ prefill: PoolPoint, _ prefillInstances: Int, _ decode: PoolPoint, _ decodeInstances: Int
  ) -> Deployment? {
    let capacity = prefill.requestRate * Double(prefillInstances)
    guard let most = prefillRate(prefill, prefillInstances) else { return nil }
    let rate = min(most, decode.requestRate * Double(decodeInstances))
    let utilization = rate / capacity
    return Deployment(
      prefill: prefill, prefillInstances: prefillInstances, decode: decode,
      decodeInstances: decodeInstances, devices: problem.cluster.devices, requestRate: rate,
      tokenRate: rate * Double(problem.outputLength),
      timeToFirstToken: prefill.timeToFirstToken + transferSeconds
        + utilization / (2 * capacity * (1 - utilization)),
      timePerToken: decode.timePerToken, transferSeconds: transferSeconds,
      prefillUtilization: utilization)
  }

  /// The latency of a request through these pools.
  private func latency(reading prefill: PoolPoint, making decode: PoolPoint) -> Double {
    prefill.readingTime + transferSeconds
      + decode.timePerToken * Double(max(problem.outputLength - 1, 0))
  }

  /// The most requests a second that get their first token in time.
  func prefillRate(_ prefill: PoolPoint, _ instances: Int) -> Double? {
    let capacity = prefill.requestRate * Double(instances)
    let slack = problem.timeToFirstToken - prefill.timeToFirstToken - transferSeconds
    if slack < 0 { return nil }
    let queue = 2 * capacity * slack
    let utilization = queue.isFinite ? queue / (1 + queue) : 1
    return capacity * min(utilization, problem.mostUtilization)
  }

  /// What instances of a unified pool deliver.
  func deployment(_ unified: PoolPoint, _ instances: Int) -> Deployment {
    let rate = unified.requestRate * Double(instances)
    return Deployment(
      prefill: nil, prefillInstances: 0, decode: unified, decodeInstances: instances,
      devices: problem.cluster.devices, requestRate: rate,
      tokenRate: rate * Double(problem.outputLength),
      timeToFirstToken: unified.timeToFirstToken, timePerToken: unified.timePerToken,
      transferSeconds: 0, prefillUtilization: 0)
  }

  /// Every deployment of these fronts that can be best by some objective, handed to a ranking.
  func forEach(
    prefill: [[PoolPoint]], decode: [[PoolPoint]], unified: [[PoolPoint]],
    rank ranking: inout Ranking
  ) {
    let devices = problem.cluster.devices
    for point in unified.joined() {
      for instances in instanceCounts(devices / point.devices) {
        ranking.take(deployment(point, instances))
      }
    }
    // The best that so many devices of prefill do: by rate, and by the earliest token.
    var byDevices: [Int: [(point: PoolPoint, instances: Int, rate: Double)]] = [:]
    for point in prefill.joined() {
      var instances = 1
      while point.devices * instances < devices {
        if let rate = prefillRate(point, instances) {
          byDevices[point.devices * instances, default: []].append((point, instances, rate))
        }
        instances += 1
      }
    }
    var choices: [(devices: Int, point: PoolPoint, instances: Int, rate: Double)] = []
    for used in byDevices.keys.sorted() {
      let all = byDevices[used] ?? []
      let fastest = all.indices.max { all[$0].rate < all[$1].rate }
      let earliest = all.indices.min {
        all[$0].point.timeToFirstToken < all[$1].point.timeToFirstToken
      }
      for index in Set([fastest, earliest].compactMap { $0 }).sorted() {
        choices.append((used, all[index].point, all[index].instances, all[index].rate))
      }
    }
    // Of as many devices or fewer, the earliest that a prompt is read.
    var soonest = Double.infinity
    let reading = choices.map { choice in
      soonest = min(soonest, choice.point.readingTime)
      return soonest
    }
    for point in decode.joined() {
      var instances = 1
      while point.devices * instances < devices {
        let rest = devices - point.devices * instances
        let wanted = point.requestRate * Double(instances)
        let allowed = choices.prefixCount { $0.devices <= rest }
        var best = 0.0
        for choice in choices[..<allowed] {
          // Ascending by devices: more of them are of use only if they read more, and need be no
          // more than tokens are made for, but for an earlier first token.
          let isUseful =
            choice.rate > best
            || problem.objective == .latency
              && choice.point.readingTime <= reading[allowed - 1] * (1 + 1e-8)
          if best >= wanted && problem.objective != .latency { break }
          if !isUseful { continue }
          best = max(best, choice.rate)
          if ranking.heeds(
            point, requestRate: min(choice.rate, wanted),
            devicesUsed: choice.devices + point.devices * instances,
            latency: latency(reading: choice.point, making: point)),
            let made = deployment(choice.point, choice.instances, point, instances)
          {
            ranking.take(made)
          }
        }
        instances += 1
      }
    }
  }

  /// All instances where idle devices cost throughput; one where they need not be paid.
  private func instanceCounts(_ most: Int) -> [Int] {
    if most < 1 { return [] }
    return problem.objective == .throughput || most == 1 ? [most] : [1, most]
  }
}
