public import EPBackend
internal import EPIR
public import EPModel
internal import EPPlan

/// Runs a plan and an unsharded plan of the same model side by side, and says operation by operation
/// how far apart they are: what `epc exec --check` shows.
public struct Comparison: Sendable {
  /// An operation of the model, on all tokens of a run.
  public struct Entry: Hashable, Sendable {
    /// The layer, or -1 for embedding and head.
    public var layer: Int
    /// Which MTP depth it is of, or nil.
    public var draft: Int?
    /// The function.
    public var function: String
    /// The operation, as an index into the unsharded function's.
    public var operation: Int
    /// What it does.
    public var kind: OpKind
    /// The module that made it.
    public var scope: String
    /// The largest difference of an element.
    public var error: Double
    /// The largest element of the unsharded result.
    public var magnitude: Double
    /// Where the largest difference is: the prompt and the position in it.
    public var prompt: Int
    /// The position in the prompt.
    public var position: Int
  }

  /// All operations whose results are rows of tokens, in the order they run.
  public var entries: [Entry]
  /// What a difference may be, for elements up to 1; for larger ones so much more.
  public var bound: Double

  /// The first operation that is too far off.
  public var first: Entry? { entries.first { $0.error > bound * max(1, $0.magnitude) } }

  /// Runs both plans on prompts.
  ///
  /// - Parameters:
  ///   - plan: the plan to check.
  ///   - reference: a plan of the same model for one rank.
  ///   - request: what to run; a few short prompts are enough.
  ///   - bound: what a difference may be.
  public static func run<D: Device, R: Device>(
    _ plan: PlanSession<D>, against reference: PlanSession<R>, _ request: GenerationRequest,
    bound: Double = 1e-4
  ) throws(ExecutionError) -> Comparison {
    let (own, other) = (plan.plan, reference.plan)
    if own.model.weightDigest != other.model.weightDigest {
      throw .request("the two plans are of different models")
    }
    if other.pools.count != 1 || other.pools[0].mesh.ranks != 1 {
      throw .request("the plan to compare with is for one rank")
    }
    let wanted = OperationRecorder()
    wanted.attach(to: reference, as: other.pools[0])
    defer { wanted.detach(from: reference) }
    _ = try reference.generate(request)
    let found = OperationRecorder()
    found.attach(to: plan, as: other.pools[0])
    defer { found.detach(from: plan) }
    _ = try plan.generate(request)
    return Comparison(
      entries: wanted.compare(with: found, functions: other.pools[0].functions), bound: bound)
  }

  /// The report for people: the first operation that is off, or the largest differences.
  public var text: String {
    func line(_ entry: Entry) -> String {
      let place = entry.layer < 0 ? entry.function : "layer \(entry.layer)"
      let scope = entry.scope.isEmpty ? "" : " in '\(entry.scope)'"
      return "\(place), operation \(entry.operation) '\(entry.kind.rawValue)'\(scope): off by "
        + "\(entry.error) of \(entry.magnitude) at position \(entry.position) of prompt "
        + "\(entry.prompt)"
    }
    if let first { return "first difference above \(bound): " + line(first) + "\n" }
    let worst = entries.max { $0.error < $1.error }
    return "\(entries.count) operations agree within \(bound)"
      + (worst.map { "; the largest difference: " + line($0) } ?? "") + "\n"
  }
}
