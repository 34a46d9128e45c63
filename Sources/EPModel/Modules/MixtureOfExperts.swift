/// A feed-forward of experts, of which each token uses a few.
///
/// ```swift
/// MixtureOfExperts {
///   Router(.sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.5)
///   SharedExperts(1) { SwiGLU(2_048) }
///   RoutedExperts(256) { SwiGLU(2_048) }
/// }
/// ```
public struct MixtureOfExperts: Module {
  /// A part of a mixture.
  public enum Part {
    /// What chooses the experts.
    case router(any ExpertRouter)
    /// Experts that every token uses.
    case shared(SharedExperts)
    /// Experts that tokens are routed to.
    case routed(RoutedExperts)
  }

  var parts: [Part]
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a mixture of one router, one set of routed experts and any number of shared ones.
  public init(
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @MixtureBuilder _ parts: () -> [Part]
  ) {
    self.parts = parts()
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let trace = x.trace
    var routers: [any ExpertRouter] = []
    var routed: [RoutedExperts] = []
    var shared: [SharedExperts] = []
    for part in parts {
      switch part {
      case .router(let router): routers.append(router)
      case .routed(let experts): routed.append(experts)
      case .shared(let experts): shared.append(experts)
      }
    }
    guard routers.count == 1, routed.count == 1, let router = routers.first,
      let experts = routed.first
    else {
      trace.diagnose(
        "mixture-parts",
        "a mixture has one router and one set of routed experts, this one has \(routers.count) "
          + "and \(routed.count)")
      return trace.void
    }
    if trace.experts != nil {
      trace.diagnose(
        "nested-mixture",
        "an expert cannot hold a mixture of experts; use HierarchicalRouter for two levels")
      return trace.void
    }
    guard trace.located(experts.location, { experts.isCountable(trace) }) else {
      return trace.void
    }
    let routes = router(x, experts: experts.count, identity: experts.identity)
    var output = trace.located(experts.location) { experts.output(x, routes) }
    for expert in shared {
      output = output + trace.located(expert.location) { expert.output(x) }
    }
    return output
  }
}

/// Experts that every token uses, beside those it is routed to.
public struct SharedExperts {
  var count: Int
  var gated: Bool
  var gateName: String
  var name: String
  var body: [any Module]
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes shared experts. Gated feed-forwards of one size stand side by side as one wider one.
  ///
  /// - Parameters:
  ///   - count: how many.
  ///   - gated: whether the output is multiplied by a sigmoid of a projection to one number.
  ///   - name: what their weights stand under.
  ///   - gateName: what the gate's weight stands under.
  public init(
    _ count: Int = 1, gated: Bool = false, named name: String = "shared_experts",
    gateName: String = "shared_expert_gate",
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder _ body: () -> [any Module]
  ) {
    self.count = count
    self.gated = gated
    self.name = name
    self.gateName = gateName
    self.body = body()
    location = SourceLocation(file, line, column)
  }

  func output(_ x: Tensor) -> Tensor {
    let trace = x.trace
    trace.isInSharedExpert = true
    defer { trace.isInSharedExpert = false }
    var output = trace.scoped(name) { () -> Tensor in
      if count == 1 { return body.reduce(x) { $0.through($1, named: "") } }
      if body.count == 1, let gated = body[0] as? GatedFeedForward {
        return x.through(gated.widened(by: count), named: "")
      }
      trace.diagnose(
        "shared-experts",
        "\(count) shared experts stand side by side only if each is one SwiGLU or GeGLU; "
          + "write several SharedExperts(1) with names of their own")
      return trace.void
    }
    if gated {
      let gate = x.linear(gateName, to: [Axis("gate", 1)]).sigmoid().sum(over: ["gate"])
      output = output * gate
    }
    return output
  }
}

/// Experts that tokens are routed to.
public struct RoutedExperts {
  /// Where a token's weight for an expert is applied.
  public enum Weighting: Hashable, Sendable {
    /// To what the expert makes.
    case output
    /// To what the expert gets, as in Llama 4.
    case input
  }

  var count: Int
  var identity: Int
  var latent: Int?
  var latentNorm: Bool
  var weighting: Weighting
  var name: String
  var body: [any Module]
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes routed experts.
  ///
  /// - Parameters:
  ///   - count: how many have weights.
  ///   - identity: how many more return their input, numbered after those (LongCat-Flash).
  ///   - latent: the size tokens are projected to before they are sent, and back from after
  ///     (`latent_in`, `latent_out`); the model's hidden size unless set.
  ///   - latentNorm: whether what comes back is normalised before it is projected (`latent_norm`).
  ///   - weighting: where weights are applied.
  ///   - name: what their weights stand under, before the expert's number.
  ///   - body: one expert.
  public init(
    _ count: Int, identity: Int = 0, latent: Int? = nil, latentNorm: Bool = false,
    weighting: Weighting = .output, named name: String = "experts",
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder _ body: () -> [any Module]
  ) {
    self.count = count
    self.identity = identity
    self.latent = latent
    self.latentNorm = latentNorm
    self.weighting = weighting
    self.name = name
    self.body = body()
    location = SourceLocation(file, line, column)
  }

  /// Whether there are experts to route to; a diagnostic says so if not.
  func isCountable(_ trace: Trace) -> Bool {
    if count <= 0 {
      trace.diagnose("expert-count", "\(count) routed experts; a mixture has at least one")
    } else if identity < 0 {
      trace.diagnose("expert-count", "\(identity) experts that return their input; 0 means none")
    }
    return count > 0 && identity >= 0
  }

  func output(_ x: Tensor, _ routes: Routes) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    let input = latent.map { x.linear("latent_in", to: [Axis("latent", $0)]) } ?? x
    let sent = input.dispatched(to: routes, experts: count, weighted: weighting == .input)
    trace.experts = .experts(count)
    let made = trace.scoped(name.isEmpty ? "{expert}" : "\(name).{expert}") {
      body.reduce(sent) { $0.through($1, named: "") }
    }
    trace.experts = nil
    let combined = made.combined(
      by: routes, experts: count, identity: identity > 0 ? input : nil,
      unweighted: weighting == .input)
    guard latent != nil else { return combined }
    let normed = latentNorm ? combined.through(RMSNorm(), named: "latent_norm") : combined
    return normed.linear("latent_out", to: [width])
  }
}

/// The parts of a mixture, as a builder's closure lists them.
@resultBuilder
public enum MixtureBuilder {
  /// A router.
  public static func buildExpression(_ router: any ExpertRouter) -> [MixtureOfExperts.Part] {
    [.router(router)]
  }
  /// Shared experts.
  public static func buildExpression(_ shared: SharedExperts) -> [MixtureOfExperts.Part] {
    [.shared(shared)]
  }
  /// Routed experts.
  public static func buildExpression(_ routed: RoutedExperts) -> [MixtureOfExperts.Part] {
    [.routed(routed)]
  }
  /// Parts in the order they are written.
  public static func buildBlock(
    _ parts: [MixtureOfExperts.Part]...
  ) -> [MixtureOfExperts.Part] { parts.flatMap { $0 } }
  /// An `if` without `else`.
  public static func buildOptional(
    _ part: [MixtureOfExperts.Part]?
  ) -> [MixtureOfExperts.Part] { part ?? [] }
  /// The first branch of an `if`.
  public static func buildEither(
    first part: [MixtureOfExperts.Part]
  ) -> [MixtureOfExperts.Part] { part }
  /// The other branch of an `if`.
  public static func buildEither(
    second part: [MixtureOfExperts.Part]
  ) -> [MixtureOfExperts.Part] { part }
  /// A `for` loop.
  public static func buildArray(
    _ parts: [[MixtureOfExperts.Part]]
  ) -> [MixtureOfExperts.Part] { parts.flatMap { $0 } }
}
