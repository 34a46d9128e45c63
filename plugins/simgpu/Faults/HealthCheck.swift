public import EPCost
internal import EPIR
internal import EPJSON
public import EPModel
internal import EPPlan

/// What a simulated device lacks from the start, as shares of what it should have.
public struct DeviceDefect: Hashable, Sendable {
  /// The rank, of the cluster.
  public var rank: Int
  /// What it has of each thing that a probe looks at; 1 unless set.
  public var shares: [HealthCheck.Probe: Double]

  /// Makes a defect.
  public init(rank: Int, _ shares: [HealthCheck.Probe: Double]) {
    self.rank = rank
    self.shares = shares
  }

  /// Reads `{"rank": 3, "compute": 0.5}`, with a share for each probe that is to show something.
  init(json node: JSONNode, ranks: Int) throws(JSONError) {
    try node.requireKeys(only: ["rank"] + HealthCheck.Probe.allCases.map(\.rawValue))
    var shares: [HealthCheck.Probe: Double] = [:]
    for probe in HealthCheck.Probe.allCases {
      guard let share = try node.optional(probe.rawValue) else { continue }
      shares[probe] = try share.double(in: 0.001...1)
    }
    self.init(rank: try node["rank"].int(in: 0...(ranks - 1)), shares)
  }
}

/// Looks at every simulated device before a run: how much memory it gives, and how fast it reads it,
/// computes and sends.
///
/// Each probe is a job of the cost model on the device; one that reaches less than `least` of what the
/// hardware should is named. NCCL's and DCGM's checks before a job do the same.
public struct HealthCheck: Sendable {
  /// What is looked at.
  public enum Probe: String, Hashable, Sendable, CaseIterable {
    /// Allocates all of the memory.
    case memory
    /// Reads a gibibyte.
    case bandwidth
    /// Multiplies two matrices of 8192 by 8192.
    case compute
    /// Sends 64 MiB to a device of another node.
    case links
  }

  /// A device that does not reach what it should.
  public struct Finding: Hashable, Sendable {
    /// The rank, of the cluster.
    public var rank: Int
    /// The probe.
    public var probe: Probe
    /// What it measured: bytes, bytes a second, or operations a second.
    public var measured: Double
    /// What it should have.
    public var nominal: Double
    /// What became of the device.
    public var outcome = ""

    /// The share of what it should reach.
    public var share: Double { nominal > 0 ? measured / nominal : 1 }

    /// One line for people.
    public var text: String {
      let unit: (Double) -> String = { value in
        switch probe {
        case .memory: return Text.gibibytes(Int(value))
        case .bandwidth, .links: return Text.decimal(value / 1e9, digits: 1) + " GB/s"
        case .compute: return Text.decimal(value / 1e12, digits: 1) + " TFLOP/s"
        }
      }
      return
        "rank \(rank): \(probe.rawValue) probe reaches \(unit(measured)) of \(unit(nominal)), "
        + Text.percent(share)
    }

    /// The finding as plain data.
    public var document: Document {
      .object([
        "rank": .int(rank), "probe": .text(probe.rawValue), "measured": .real(measured),
        "nominal": .real(nominal), "outcome": .text(outcome),
      ])
    }
  }

  /// The share of what it should reach below which a device is bad.
  public static let least = 0.9

  /// Seconds that the probes take, on the slowest device.
  public private(set) var seconds = 0.0
  /// The devices that are bad, by rank.
  public private(set) var findings: [Finding] = []

  /// Runs all probes on all devices at once.
  public init(ranks: Int, memoryBytes: Int, defects: [DeviceDefect], model: CostModel) {
    let bytes = Double(1 << 30)
    let side = 8192.0
    let message = Double(64 << 20)
    let kernels: [(Probe, work: Double, seconds: Double)] = [
      (
        .bandwidth, bytes,
        model.time(of: .stream(Kernel.Stream(bytes: bytes, launches: 1))).value
      ),
      (
        .compute, 2 * side * side * side,
        model.time(
          of: .gemm(Kernel.Gemm(rows: side, n: side, k: side, format: .bf16))
        ).value
      ),
      (
        .links, message,
        model.time(
          of: .collective(
            Kernel.Collective(form: .pointToPoint, ranks: 2, node: 1, bytes: message))
        ).value
      ),
    ]
    let known = Dictionary(grouping: defects, by: \.rank)
    for rank in 0..<ranks {
      let own = known[rank] ?? []
      func share(_ probe: Probe) -> Double { own.reduce(1) { min($0, $1.shares[probe] ?? 1) } }
      var took = 0.0
      for (probe, work, alone) in kernels {
        let time = alone / share(probe)
        took += time
        note(rank, probe, work / time, work / alone)
      }
      note(rank, .memory, Double(memoryBytes) * share(.memory), Double(memoryBytes))
      seconds = max(seconds, took)
    }
  }

  private mutating func note(_ rank: Int, _ probe: Probe, _ measured: Double, _ nominal: Double) {
    if measured >= Self.least * nominal { return }
    findings.append(Finding(rank: rank, probe: probe, measured: measured, nominal: nominal))
  }

  /// Says what became of a device.
  mutating func settle(_ rank: Int, _ outcome: String) {
    for index in findings.indices where findings[index].rank == rank {
      findings[index].outcome = outcome
    }
  }
}
