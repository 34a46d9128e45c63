public import EPBackend
internal import EPModel
public import EPPlan
public import EPRuntime

/// Whether a backend does what docs/ops.md says: every operation against the reference, whole plans
/// against the unsharded model, and what must be refused.
public struct Conformance: Sendable {
  /// How one thing went.
  public struct Row: Hashable, Sendable {
    /// How it ended.
    public enum Outcome: Hashable, Sendable {
      /// Within the bound in all cases.
      case passed
      /// The backend says it cannot, and why.
      case unsupported(String)
      /// What is wrong.
      case failed(String)
    }

    /// What is tested: `operations`, `events`, `plans`, `streams`, `limits`, `errors`; `programs` where
    /// the device runs plans as whole programs.
    public var group: String
    /// Which of them: `attention, window`.
    public var name: String
    /// How it ended.
    public var outcome: Outcome
    /// Cases run.
    public var cases: Int
    /// The largest normalised error of a case, where results are compared.
    public var error: Double?
    /// What it may be.
    public var bound: Double?

    /// Makes a row.
    public init(
      _ group: String, _ name: String, _ outcome: Outcome, cases: Int = 1, error: Double? = nil,
      bound: Double? = nil
    ) {
      self.group = group
      self.name = name
      self.outcome = outcome
      self.cases = cases
      self.error = error
      self.bound = bound
    }
  }

  /// How kernels compute, which decides how near they must come.
  public enum Precision: String, Hashable, Sendable, CaseIterable {
    case fp32, fp16, bf16, int8, fp8, mxfp4

    /// What the normalised error of an operation may be: the sum of squared differences over the sum
    /// of squares of the reference. The root of it is a relative error: 1e-5 for fp32, a few units in
    /// the last place of the narrower formats.
    public var bound: Double {
      switch self {
      case .fp32: return 1e-10
      case .fp16: return 1e-5
      case .bf16, .int8: return 1e-4
      case .fp8: return 5e-3
      case .mxfp4: return 5e-2
      }
    }

    /// What the normalised error of logits may be. In narrow formats a router that is undecided
    /// chooses another expert here and there, which moves logits by a few percent.
    public var logitsBound: Double {
      switch self {
      case .fp32: return 1e-8
      case .fp16: return 1e-2
      case .bf16, .int8: return 5e-2
      case .fp8, .mxfp4: return 0.3
      }
    }

    /// The share of rows whose experts or positions must be the reference's.
    var agreement: Double { self == .fp32 ? 1 : 0.75 }
  }

  /// What random cases come of.
  public var seed: UInt64
  /// Cases of each operation and variant.
  public var cases: Int
  /// Only rows whose group or name has this text in it.
  public var filter: String

  /// Makes a suite.
  public init(seed: UInt64 = 1, cases: Int = 4, filter: String = "") {
    self.seed = seed
    self.cases = max(cases, 1)
    self.filter = filter
  }

  /// Runs a plan on several processes: all of them with the same weights and requests, and nil where
  /// they are not as many as the plan takes.
  public typealias Runner = (Plan, WeightStore, GenerationRequest) throws -> GenerationResult?

  /// Runs everything on a device.
  ///
  /// - Parameters:
  ///   - programs: the device as one that runs whole programs, if it is such a one too.
  ///   - runner: what runs plans over processes; the device runs them in this one without it.
  ///   - observe: sees each row as soon as it is there.
  public func run<D: Device>(
    _ device: D, precision: Precision, programs: D? = nil, runner: Runner? = nil,
    observe: (Row) -> Void = { _ in }
  ) -> [Row] {
    var rows: [Row] = []
    func add(_ row: Row) {
      rows.append(row)
      observe(row)
    }
    for (index, variant) in OperationVariant.all.enumerated()
    where isWanted(
      "operations", variant.name)
    {
      add(operation(variant, UInt64(index), device, precision))
    }
    if isWanted("events", Ordering.name) { add(Ordering.row(device)) }
    for sample in SampleRun.all where isWanted(sample.group, sample.name) {
      add(sample.row(device, precision, runner))
    }
    if let programs {
      for sample in SampleRun.all where isWanted("programs", sample.name) {
        add(sample.row(programs, precision))
      }
    }
    for refusal in Refusal.all where isWanted(refusal.group, refusal.name) {
      add(refusal.row(device))
    }
    return rows
  }

  /// Runs plans alone over several processes, each of which calls this: what a transport is to do. What
  /// they make is compared with the device's in one process.
  public func plans<D: Device>(
    _ device: D, precision: Precision, runner: @escaping Runner, observe: (Row) -> Void
  ) -> [Row] {
    SampleRun.all.filter { isWanted($0.group, $0.name) }.map { sample in
      let row = sample.row(device, precision, runner)
      observe(row)
      return row
    }
  }

  /// Whether a row is asked for.
  public func isWanted(_ group: String, _ name: String) -> Bool {
    filter.isEmpty || group.contains(filter) || name.contains(filter)
  }

  private func operation<D: Device>(
    _ variant: OperationVariant, _ index: UInt64, _ device: D, _ precision: Precision
  ) -> Row {
    var random = ConformanceRandom(seed &* 1_000_003 &+ index)
    var worst = 0.0
    for number in 0..<cases {
      let operation = variant.make(&random)
      do {
        let result = try operation.compare(device, precision)
        worst = max(worst, result)
        if result > precision.bound {
          return Row(
            "operations", variant.name,
            .failed("case \(number), \(operation.summary): too far off the reference"),
            cases: number + 1, error: worst, bound: precision.bound)
        }
      } catch .backend(.unsupported(_, let reason)) {
        return Row("operations", variant.name, .unsupported(reason), cases: number)
      } catch {
        return Row(
          "operations", variant.name, .failed("case \(number), \(operation.summary): \(error)"),
          cases: number + 1)
      }
    }
    return Row(
      "operations", variant.name, .passed, cases: cases, error: worst, bound: precision.bound)
  }
}

/// Why a case could not be compared, or does not.
enum ConformanceError: Error, CustomStringConvertible {
  case backend(BackendError)
  case other(String)

  var description: String {
    switch self {
    case .backend(let error): return error.description
    case .other(let text): return text
    }
  }
}
