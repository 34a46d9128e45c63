internal import EPCost
public import EPIR
internal import EPModel
public import EPPlan

/// A named step of the compiler: a deterministic function from program to program.
public struct Pass: Sendable {
  /// The name, as `--print-after` takes it.
  public var name: String
  /// What it does, in one line.
  public var summary: String
  /// The step.
  var run: @Sendable (inout Compilation) throws(Diagnostics) -> Void
}

/// The compiler: a model goes in at the top, a plan comes out at the bottom.
public enum Compiler {
  /// The passes, in the order they run.
  public static let passes: [Pass] = [
    Pass(name: "import", summary: "drop MTP depths that are not asked for", run: importProgram),
    Pass(
      name: "sample-rows", summary: "make logits of the tokens that are sampled only",
      run: sampleRows),
    Pass(
      name: "choose-parallelism", summary: "fix devices, mesh and load of every pool",
      run: chooseParallelism),
    Pass(
      name: "place-experts", summary: "give every logical expert its slots", run: placeExperts),
    Pass(
      name: "shard", summary: "give every rank its part of each function, collectives explicit",
      run: shard),
    Pass(
      name: "split-pipeline", summary: "cut the layers into stages that send and receive",
      run: splitPipeline),
    Pass(
      name: "choose-placement",
      summary: "keep the experts of a group in a node where that costs less", run: choosePlacement),
    Pass(
      name: "assign-streams", summary: "put kernels and collectives on streams",
      run: assignStreams),
    Pass(
      name: "schedule-overlap",
      summary: "cut steps into micro-batches and overlap exchanges with compute",
      run: scheduleOverlap),
    Pass(
      name: "plan-memory", summary: "pack the values of a step into one arena", run: planMemory),
    Pass(
      name: "insert-waits", summary: "make streams wait for what they read and overwrite",
      run: insertWaits),
    Pass(
      name: "account-memory", summary: "add up what ranks hold, and refuse what does not fit",
      run: accountMemory),
  ]

  /// Compiles a model to a verified plan. `observe` sees the program after every pass.
  ///
  /// Pools whose load was left to the compiler and does not fit are compiled again with the largest
  /// load that does; `observe` then sees all passes again.
  public static func compile(
    _ compilation: Compilation,
    observe: (Pass, Compilation) -> Void = { _, _ in }
  ) throws(Diagnostics) -> Plan {
    do { return try compileAsAsked(compilation, observe) } catch {
      guard error.all.contains(where: { $0.id == "memory" }),
        let smaller = compilation.withFittingLoads()
      else { throw error }
      return try compileAsAsked(smaller, observe)
    }
  }

  private static func compileAsAsked(
    _ compilation: Compilation, _ observe: (Pass, Compilation) -> Void
  ) throws(Diagnostics) -> Plan {
    var compilation = compilation
    for pass in passes {
      try pass.run(&compilation)
      try compilation.verify(after: pass)
      observe(pass, compilation)
    }
    return try compilation.finish()
  }
}

extension Compilation {
  /// Checks that every function is well-formed; a pass that breaks one is a bug of the compiler.
  func verify(after pass: Pass) throws(Diagnostics) {
    for function in program.functions + pools.flatMap({ $0.functions.map(\.function) }) {
      do { try function.verify() } catch {
        throw Diagnostics("compiler-bug", "after '\(pass.name)': \(error.description)")
      }
    }
  }

  /// The plan, verified.
  func finish() throws(Diagnostics) -> Plan {
    var plan = Plan(
      model: ModelSummary(of: program),
      cluster: cluster.summary)
    plan.pools = pools
    if pools.count == 2 {
      plan.handover = Handover.make(
        from: pools.firstIndex { $0.role == .prefill } ?? 0,
        to: pools.firstIndex { $0.role == .decode } ?? 1, in: pools)
    }
    plan.decisions = decisions
    plan.locations = program.locations
    let problems = plan.verify()
    if !problems.isEmpty {
      throw Diagnostics(
        [Diagnostic("compiler-bug", "the plan it made does not verify")] + problems)
    }
    return plan
  }
}
