public import EPJSON

/// What goes wrong in a simulated run, and when.
public struct FaultSchedule: Hashable, Sendable {
  /// One fault.
  public struct Fault: Hashable, Sendable {
    /// What goes wrong.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
      /// The rank's kernels take `factor` times as long: throttled by heat, or a worse device.
      case slowRank = "slow_rank"
      /// The rank's links carry a `factor`th of what they should.
      case slowLink = "slow_link"
      /// The rank is gone: its process is killed where it has one.
      case lostRank = "lost_rank"
      /// The rank never comes to a collective.
      case hungCollective = "hung_collective"
      /// The rank's device reports an error that ends its work: an uncorrectable memory error (Xid
      /// 48), or having fallen off the bus (Xid 79).
      case deviceError = "device_error"

      /// Whether the rank's work ends with it.
      public var isFatal: Bool {
        switch self {
        case .slowRank, .slowLink: return false
        case .lostRank, .hungCollective, .deviceError: return true
        }
      }
    }
    /// What goes wrong.
    public var kind: Kind
    /// The rank, of the cluster.
    public var rank: Int
    /// The step it happens in, from 0.
    public var step: Int
    /// The step after the last in which a slowdown holds; for ever unless set.
    public var until: Int?
    /// How much slower; 1 or more.
    public var factor: Double
    /// The error's number, as drivers report it.
    public var code: Int

    /// Makes a fault.
    public init(
      _ kind: Kind, rank: Int, step: Int, until: Int? = nil, factor: Double = 2, code: Int = 79
    ) {
      self.kind = kind
      self.rank = rank
      self.step = step
      self.until = until
      self.factor = factor
      self.code = code
    }

    /// Whether a slowdown holds in a step.
    public func holds(in step: Int) -> Bool {
      !kind.isFatal && step >= self.step && step < until ?? .max
    }

    /// The cause, for people.
    public var cause: String {
      switch kind {
      case .slowRank: return "its device is \(Text.decimal(factor, digits: 2)) times slower"
      case .slowLink: return "its links are \(Text.decimal(factor, digits: 2)) times slower"
      case .lostRank: return "it was lost"
      case .hungCollective: return "it hangs"
      case .deviceError: return "its device reports error \(code)"
      }
    }
  }

  /// The faults, by step.
  public var faults: [Fault]
  /// What devices lack before the first step.
  public var defects: [DeviceDefect] = []
  /// Seconds without progress after which a collective counts as hung.
  public var timeout: Double

  /// Makes a schedule.
  public init(_ faults: [Fault] = [], timeout: Double = 1) {
    self.faults = faults.sorted { ($0.step, $0.rank) < ($1.step, $1.rank) }
    self.timeout = timeout
  }

  /// The first fatal fault at or after a step.
  public func fatal(from step: Int) -> Fault? {
    faults.first { $0.kind.isFatal && $0.step >= step }
  }

  /// Draws a schedule: the same from a seed everywhere.
  public static func random(
    seed: UInt64, count: Int, ranks: Int, steps: Int, timeout: Double = 1
  ) -> FaultSchedule {
    var state = seed
    func next(_ bound: Int) -> Int {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Int((z ^ (z >> 31)).multipliedFullWidth(by: UInt64(max(bound, 1))).high)
    }
    let kinds = Fault.Kind.allCases
    return FaultSchedule(
      (0..<count).map { _ in
        let step = next(steps)
        return Fault(
          kinds[next(kinds.count)], rank: next(ranks), step: step,
          until: next(2) == 0 ? nil : step + 1 + next(steps), factor: 1 + Double(1 + next(40)) / 10,
          code: [48, 63, 74, 79][next(4)])
      }, timeout: timeout)
  }

  /// Reads a schedule: `{"faults": [{"kind", "rank", "step", "until", "factor", "code"}],
  /// "defects": [{"rank", "memory", "bandwidth", "compute", "links"}], "timeout_ms": 1000}`, or `{"seed": 7, "count": 3}` to draw one.
  public init(json root: JSONNode, ranks: Int, steps: Int) throws(JSONError) {
    try root.requireKeys(only: ["faults", "defects", "timeout_ms", "seed", "count"])
    let timeout = (try root.optional("timeout_ms")?.double(in: 1...3.6e6) ?? 1000) / 1000
    if let seed = try root.optional("seed") {
      self = .random(
        seed: UInt64(try seed.int(in: 0...Int.max)), count: try root["count"].int(in: 1...1000),
        ranks: ranks, steps: steps, timeout: timeout)
      return
    }
    var defects: [DeviceDefect] = []
    if let nodes = try root.optional("defects") {
      for node in try nodes.array(maxCount: 10_000) {
        defects.append(try DeviceDefect(json: node, ranks: ranks))
      }
    }
    var faults: [Fault] = []
    let nodes = defects.isEmpty ? try root["faults"] : try root.optional("faults")
    for node in try nodes?.array(maxCount: 10_000) ?? [] {
      try node.requireKeys(only: ["kind", "rank", "step", "until", "factor", "code"])
      let name = try node["kind"]
      guard let kind = Fault.Kind(rawValue: try name.string(maxLength: 64)) else {
        throw name.fail(
          "no such fault; known are "
            + Fault.Kind.allCases.map(\.rawValue).joined(separator: ", "))
      }
      let step = try node["step"].int(in: 0...1_000_000_000)
      faults.append(
        Fault(
          kind, rank: try node["rank"].int(in: 0...(ranks - 1)), step: step,
          until: try node.optional("until")?.int(in: (step + 1)...1_000_000_001),
          factor: try node.optional("factor")?.double(in: 1...1000) ?? 2,
          code: try node.optional("code")?.int(in: 1...100_000) ?? 79))
    }
    self.init(faults, timeout: timeout)
    self.defects = defects
  }
}
