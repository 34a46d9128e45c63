internal import EPCompiler
internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan
internal import Synchronization

/// What all threads of a search read: prepared models, and how even placements are.
final class SearchTables: Sendable {
  /// What a prepared model differs in.
  struct Variant: Hashable {
    var drafts: Int
    var precision: Precision
  }

  private struct BalanceKey: Hashable {
    var ranks: Int
    var slotsPerRank: Int
  }

  let problem: SearchProblem
  let sketchers: [Variant: PoolSketcher]
  let experts: Int
  /// Whether steps may be cut into micro-batches and lots.
  let cuts: Bool
  let usableBytes: Int
  private let balance = Mutex<[BalanceKey: Double]>([:])

  init(_ problem: SearchProblem) throws(Diagnostics) {
    self.problem = problem
    var sketchers: [Variant: PoolSketcher] = [:]
    for precision in SearchTables.precisions(problem) {
      for drafts in SearchTables.drafts(problem) {
        sketchers[Variant(drafts: drafts, precision: precision)] = try PoolSketcher(
          problem.program, SearchTables.request(problem, drafts: drafts, precision: precision))
      }
    }
    self.sketchers = sketchers
    experts = SearchTables.experts(of: problem.program)
    cuts = !problem.program.routesWithCapacity
    if case .measured(let loads) = problem.skew.loads, experts > 0, loads.experts != experts {
      throw Diagnostics(
        "expert-loads",
        "loads of \(loads.experts) experts, and \(problem.program.name) has \(experts) in a layer")
    }
    usableBytes = Int(
      Double(problem.cluster.hardware.memoryBytes) * problem.cluster.usableFraction)
  }

  /// Logical experts of the layers that have any; 0 without.
  static func experts(of program: ModelProgram) -> Int {
    program.functions.reduce(0) { most, function in
      let dispatch = function.operations.first { $0.kind == .dispatch }
      return max(most, dispatch?.attributes.int("experts") ?? 0)
    }
  }

  static func precisions(_ problem: SearchProblem) -> [Precision] {
    var all = [problem.program.precision]
    for precision in problem.space.precisions where !all.contains(precision) {
      all.append(precision)
    }
    return all
  }

  static func drafts(_ problem: SearchProblem) -> [Int] {
    problem.space.drafts.filter { $0 >= 0 && $0 <= problem.program.drafts.count }
  }

  /// What the compiler is asked, but for pools.
  static func request(
    _ problem: SearchProblem, drafts: Int, precision: Precision
  ) -> CompileRequest {
    var request = CompileRequest(hardware: problem.cluster.hardware)
    request.cluster = problem.cluster
    request.context = problem.cachedContext
    request.drafts = drafts
    request.activations = problem.activations
    request.precision = precision
    request.calibration = problem.cost.calibration
    return request
  }

  /// What the compiler is asked for a pool.
  static func request(
    _ shape: PoolShape, sequences: Int, promptTokens: Int
  ) -> CompileRequest.PoolRequest {
    var pool = CompileRequest.PoolRequest(shape.role)
    (pool.pp, pool.dp, pool.tp, pool.ep) = (
      shape.mesh.pp, shape.mesh.dp, shape.mesh.tp, shape.mesh.ep
    )
    if shape.role != .prefill { pool.groupSequences = sequences }
    if shape.role != .decode {
      pool.groupTokens = promptTokens + sequences * (1 + shape.drafts)
    }
    pool.usesLowLatency = shape.isLowLatency
    return pool
  }

  func variant(_ shape: PoolShape) -> Variant {
    Variant(drafts: shape.drafts, precision: shape.precision)
  }

  /// Mean over largest load of the expert ranks of a pool, as placed for the problem's loads.
  func balancedness(_ shape: PoolShape) -> Double {
    if shape.slotsPerRank == 0 { return 1 }
    let key = BalanceKey(ranks: shape.mesh.ep, slotsPerRank: shape.slotsPerRank)
    if let known = balance.withLock({ $0[key] }) { return known }
    // Two threads may both work it out; they come to the same.
    var made = 1.0
    do {
      made = try problem.skew.balancedness(
        experts: experts, ranks: key.ranks, slotsPerRank: key.slotsPerRank,
        isBalanced: problem.placesExperts)
    } catch { made = 1 }
    balance.withLock { $0[key] = made }
    return made
  }

  /// The prepared models, in a fixed order. Pools that work together are of one.
  var variants: [Variant] {
    SearchTables.precisions(problem).flatMap { precision in
      SearchTables.drafts(problem).map { Variant(drafts: $0, precision: precision) }
    }
  }

  /// The shapes that an instance of so many devices can have, in a fixed order.
  func shapes(_ role: Pool.Role, devices: Int, variant: Variant) -> [PoolShape] {
    let space = problem.space
    var shapes: [PoolShape] = []
    let formats = space.attentionFormats.isEmpty ? [problem.activations] : space.attentionFormats
    for pp in space.pipeline where devices % pp == 0 && pp <= problem.program.layerCount {
      let stage = devices / pp
      for tp in space.tensor where stage % tp == 0 {
        for mesh in meshes(pp: pp, dp: stage / tp, tp: tp) {
          for slots in slots(ranks: mesh.ep) {
            for isLowLatency in mesh.ep > 1 && !problem.gathersTokens ? [true, false] : [false] {
              for attention in formats {
                shapes.append(
                  PoolShape(
                    role: role, mesh: mesh, slotsPerRank: slots, drafts: variant.drafts,
                    isLowLatency: isLowLatency, precision: variant.precision,
                    attention: attention))
              }
            }
          }
        }
      }
    }
    return shapes
  }

  /// Experts whole, over all ranks of a stage, or each split over the ranks of a data group. Smaller
  /// expert groups are instances of their own: an instance of so many devices fewer has them.
  private func meshes(pp: Int, dp: Int, tp: Int) -> [Mesh] {
    if !problem.space.hasExpertParallelism {
      return dp == 1 ? [Mesh(pp: pp, dp: 1, tp: tp, ep: 1)] : []
    }
    if experts == 0 { return [Mesh(pp: pp, dp: dp, tp: tp, ep: 1)] }
    let whole = Mesh(pp: pp, dp: dp, tp: tp, ep: dp * tp)
    let split = Mesh(pp: pp, dp: dp, tp: tp, ep: dp)
    return [whole, split].enumerated().filter { index, mesh in
      mesh.problem == nil && (index == 0 || !mesh.holdsWholeExperts)
    }.map(\.1)
  }

  private func slots(ranks: Int) -> [Int] {
    if experts == 0 { return [0] }
    let least = (experts + ranks - 1) / ranks
    if ranks == 1 { return [least] }
    return problem.space.extraSlots.map { least + $0 }.filter { $0 <= experts && $0 >= least }
  }
}
