internal import EPModel
internal import Glibc

/// What kernels and exchanges take on one kind of hardware.
public struct CostModel: Sendable {
  /// The hardware.
  public var hardware: Hardware { didSet { forget() } }
  /// The measurements.
  public var calibration: Calibration { didSet { forget() } }
  /// The efficiencies where nothing was measured.
  public var assumptions: Assumptions { didSet { rules = KernelRules() } }
  /// What was found to hold of shapes so far.
  private var rules = KernelRules()
  /// Whether attention over fp8 latents was measured here. Operations of measured attention count at
  /// bf16's peak, whatever the kernel computes in.
  private(set) var measuresPackedLatents: Bool

  /// Efficiencies and latencies that stand in where nothing was measured.
  public struct Assumptions: Hashable, Sendable {
    /// Kernels that only move memory: launch and ramp of each, and the share of bandwidth reached.
    public var stream: RooflineFit
    /// Collectives: hops and the share of the link reached (aiconfigurator assumes 10 us and 0.8).
    public var collective: RooflineFit
    /// Matrix products and attention without any table.
    public var compute: RooflineFit
    /// All-to-All without any table.
    public var exchange: RooflineFit
    /// What ranks wait for each other before a normal dispatch, as a share of it.
    public var dispatchBarrier: Double
    /// What ranks wait for each other before a normal combine, as a share of it.
    public var combineBarrier: Double
    /// Seconds between one kernel's end and the next one's start, in a graph launched as a whole.
    public var launchGap: Double
    /// Seconds that an engine spends for each drafted token between the kernels of a step: the draft
    /// is sampled, and the host decides what is run next.
    public var draftGap: Double
    /// Seconds between steps of a prefill pool: batches are made, and caches handed on.
    public var prefillGap: Double
    /// How much longer products take whose weights must be unpacked, since the device has no arithmetic
    /// in their format.
    public var unpacking: Double

    /// Makes assumptions; those not given are the published ones of docs/cost.md.
    public init(
      stream: RooflineFit = RooflineFit(
        latency: 0, perDepth: 2.8e-6, firstEfficiency: 1, secondEfficiency: 0.7, deviation: 0.25),
      collective: RooflineFit = RooflineFit(
        latency: 5e-6, perDepth: 2.5e-6, firstEfficiency: 0.8, secondEfficiency: 0.8,
        deviation: 0.3),
      compute: RooflineFit = RooflineFit(
        latency: 4e-6, firstEfficiency: 0.6, secondEfficiency: 0.8, deviation: 0.3),
      exchange: RooflineFit = RooflineFit(
        latency: 1.5e-5, perDepth: 2e-7, firstEfficiency: 0.85, secondEfficiency: 0.65,
        deviation: 0.3),
      dispatchBarrier: Double = 0.216, combineBarrier: Double = 0.115, launchGap: Double = 1e-6,
      draftGap: Double = 5e-3, prefillGap: Double = 0.04, unpacking: Double = 2
    ) {
      self.stream = stream
      self.collective = collective
      self.compute = compute
      self.exchange = exchange
      self.dispatchBarrier = dispatchBarrier
      self.combineBarrier = combineBarrier
      self.launchGap = launchGap
      self.draftGap = draftGap
      self.prefillGap = prefillGap
      self.unpacking = unpacking
    }
  }

  /// Makes a model.
  public init(
    _ hardware: Hardware, calibration: Calibration, assumptions: Assumptions = Assumptions()
  ) {
    self.hardware = hardware
    self.calibration = calibration
    self.assumptions = assumptions
    measuresPackedLatents = calibration.table("mla_decode", .fp8, on: hardware)?.isOwn ?? false
  }

  private mutating func forget() {
    self = CostModel(hardware, calibration: calibration, assumptions: assumptions)
  }

  /// How kernels of a shape are priced.
  func rule(for kernel: Kernel) -> KernelRule {
    let unit = kernel.unit
    if let known = rules[unit] { return known }
    let found = calibration.table(kernel.operation, kernel.format, on: hardware)
    let measured = kernel.isLikeMeasured ? found.flatMap { $0.isOwn ? $0.table : nil } : nil
    let rule = KernelRule(
      fit: found?.table.fit ?? assumptions.fit(for: kernel),
      surface: measured.flatMap { TimeSurface(of: unit, in: $0, on: hardware) },
      table: found?.table,
      unpacking: measured == nil && hardware.unpacks(kernel.format) ? assumptions.unpacking : 1)
    rules[unit] = rule
    return rule
  }

  /// Seconds of a kernel that runs alone, with what it rests on. Never below the floor that peaks
  /// set; zero where there is nothing to do. Never less with a larger load, more groups or sequences.
  public func time(of kernel: Kernel) -> Figure {
    guard kernel.load > 0, kernel.isNeeded else { return .zero }
    let rule = rule(for: kernel)
    let (seconds, floor) = (rule.seconds(of: kernel, on: hardware), floor(of: kernel))
    if let (table, surface) = rule.table.flatMap({ table in rule.surface.map { (table, $0) } }) {
      let estimate = table.estimate(kernel, by: surface, on: hardware)
      return Figure(
        seconds, provenance: estimate.provenance, source: estimate.source,
        spread: exp(estimate.halfWidth)
      ).bounded(below: floor)
    }
    if let table = rule.table {
      return Figure(
        seconds, provenance: .extrapolated,
        source: "fit of \(table.sources.first ?? kernel.operation)",
        spread: exp(0.25 + 1.64 * table.fit.deviation)
      ).bounded(below: floor)
    }
    let fit = rule.fit
    return Figure(
      seconds, provenance: .derived,
      source:
        "peaks of \(hardware.name) at \(max(fit.firstEfficiency, fit.secondEfficiency).text(2))",
      spread: exp(1.64 * max(fit.deviation, 0.1))
    ).bounded(below: floor)
  }

  /// Seconds that no implementation of the kernel can be faster than, from peaks alone.
  public func floor(of kernel: Kernel) -> Double {
    kernel.isNeeded ? kernel.work(on: hardware).floor : 0
  }
}

extension CostModel.Assumptions {
  func fit(for kernel: Kernel) -> RooflineFit {
    switch kernel {
    case .gemm, .grouped, .decodeAttention, .prefillAttention: return compute
    case .stream: return stream
    case .exchange: return exchange
    case .collective: return collective
    }
  }
}

extension Kernel {
  /// The format that tables are kept by.
  var format: Precision.Format {
    switch self {
    case .gemm(let gemm): return gemm.format
    case .grouped(let gemm): return gemm.format
    case .decodeAttention(let attention), .prefillAttention(let attention): return attention.format
    case .stream, .collective: return .bf16
    case .exchange(let exchange): return exchange.format
    }
  }

  /// Whether there is anything to do.
  var isNeeded: Bool {
    switch self {
    case .exchange(let exchange): return exchange.ranks > 1
    case .collective(let collective): return collective.ranks > 1
    case .grouped(let gemm): return gemm.groups > 0
    default: return true
    }
  }

  /// Whether a table of its operation speaks of kernels like it: tables of attention are MLA's.
  var isLikeMeasured: Bool {
    switch self {
    case .decodeAttention(let attention):
      return attention.sharesKey && attention.keySize == 576 && !attention.isSparse
        && attention.arithmetic == .bf16
    case .prefillAttention(let attention):
      return attention.keySize >= 64 && !attention.isSparse && attention.arithmetic == .bf16
    default: return true
    }
  }
}
