internal import EPCost
public import EPModel

/// What a replay measured.
public struct ReplayReport: Hashable, Sendable {
  /// The middle, and what one in ten and one in a hundred exceed.
  public struct Percentiles: Hashable, Sendable {
    /// Half are below.
    public var p50: Double
    /// Nine in ten are below.
    public var p90: Double
    /// Ninety-nine in a hundred are below.
    public var p99: Double

    init(_ values: [Double]) {
      let ordered = values.sorted()
      func at(_ share: Double) -> Double {
        if ordered.isEmpty { return 0 }
        return ordered[min(ordered.count - 1, Int(share * Double(ordered.count)))]
      }
      (p50, p90, p99) = (at(0.5), at(0.9), at(0.99))
    }
  }

  /// Requests.
  public var requests: Int
  /// Tokens made.
  public var tokens: Int
  /// Seconds until the last one ended.
  public var seconds: Double
  /// Seconds until the first token.
  public var timeToFirstToken: Percentiles
  /// Seconds between tokens of a request.
  public var timePerToken: Percentiles
  /// Tokens a second and device of the cluster.
  public var throughput: Double
  /// The share of requests that kept both limits.
  public var goodShare: Double
  /// Requests a second that did.
  public var goodput: Double
  /// Whether there were limits.
  public var hasLimits: Bool

  init(
    _ records: [ReplayRecord], _ requests: [ReplayRequest], devices: Int,
    limits: (timeToFirstToken: Double, timePerToken: Double)
  ) {
    hasLimits = limits.timeToFirstToken < .infinity || limits.timePerToken < .infinity
    var (first, between) = ([Double](), [Double]())
    var (good, tokens, last) = (0, 0, 0.0)
    for (record, request) in zip(records, requests) where record.end >= 0 {
      let waited = record.firstToken - request.arrival
      let each =
        request.outputLength > 1
        ? (record.end - record.firstToken) / Double(request.outputLength - 1) : 0
      first.append(waited)
      if request.outputLength > 1 { between.append(each) }
      tokens += request.outputLength
      last = max(last, record.end)
      if waited <= limits.timeToFirstToken && each <= limits.timePerToken { good += 1 }
    }
    self.requests = first.count
    self.tokens = tokens
    seconds = max(last - (requests.first?.arrival ?? 0), 1e-9)
    timeToFirstToken = Percentiles(first)
    timePerToken = Percentiles(between)
    throughput = Double(tokens) / seconds / Double(max(devices, 1))
    goodShare = Double(good) / Double(max(first.count, 1))
    goodput = Double(good) / seconds
  }

  /// The report for people.
  public var text: String {
    var columns = TextColumns(["", "p50", "p90", "p99"], right: [1, 2, 3])
    for (name, values) in [("TTFT ms", timeToFirstToken), ("TPOT ms", timePerToken)] {
      columns.add(
        [name] + [values.p50, values.p90, values.p99].map { ($0 * 1e3).text(1) })
    }
    return "replay of \(requests) requests, \(tokens) tokens made in \(seconds.text(1)) s\n"
      + columns.text + "throughput \(throughput.text(0)) tokens/s a device"
      + (hasLimits
        ? "; \((goodShare * 100).text(1)) % keep the limits, \(goodput.text(2)) a second\n"
        : ", \(goodput.text(2)) requests/s\n")
  }

  /// The report as plain data.
  public var document: Document {
    func milliseconds(_ values: Percentiles) -> Document {
      .object([
        "p50": .real(values.p50 * 1e3), "p90": .real(values.p90 * 1e3),
        "p99": .real(values.p99 * 1e3),
      ])
    }
    return .object([
      "requests": .int(requests), "tokens": .int(tokens), "seconds": .real(seconds),
      "ttft_ms": milliseconds(timeToFirstToken), "tpot_ms": milliseconds(timePerToken),
      "tokens_per_second_per_gpu": .real(throughput), "good_share": .real(goodShare),
      "goodput": .real(goodput),
    ])
  }
}
