import EPIR
import EPJSON
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// Every field of a plan's JSON is changed in turn. A plan that is still read must be the same one,
/// or one that an argument of its own shows to be as good.
@Suite struct TreeMutationTests {
  @Test func everyFieldMatters() throws {
    var random = SeededGenerator(seed: UInt64(testCount("EPC_MUTATION_SEED", default: 1)))
    var (caught, same, harmless) = (0, 0, 0)
    let plans = try SamplePlans.all()
    let count = testCount("EPC_TREE_PLANS", default: 2)
    for (name, plan) in (0..<count).map({ plans[($0 * 9 + 5) % plans.count] }) {
      let tree = plan.document.jsonValue
      var paths: [String: [[JSONStep]]] = [:]
      tree.visit { steps, _ in paths[JSONStep.pattern(steps), default: []].append(steps) }
      for (pattern, places) in paths.sorted(by: { $0.key < $1.key }) {
        let steps = random.pick(places)
        guard let changed = tree.mutated(at: steps, &random), changed != tree else { continue }
        guard let again = try? Plan(bytes: try changed.serialized()) else {
          caught += 1
          continue
        }
        if again == plan {
          same += 1
        } else if isHarmless(pattern, plan, again, &random) {
          harmless += 1
        } else {
          Issue.record("\(name): a change of \(JSONStep.pattern(steps)) is not caught")
        }
      }
    }
    if count > 20 { print("tree: \(caught) caught, \(same) the same plan, \(harmless) harmless") }
  }

  /// Why a changed plan can run as well as the one before.
  private func isHarmless(
    _ pattern: String, _ before: Plan, _ after: Plan, _ random: inout SeededGenerator
  ) -> Bool {
    switch pattern {
    case "$.cluster.name", "$.cluster.device", "$.decisions", "$.decisions[]", "$.locations",
      "$.locations[]":
      return true  // Text for people.
    case let pattern where pattern.hasPrefix("$.pools[].functions[].operations[]"):
      // Text for people too: places in the model file, and scopes of what the compiler put in.
      return plain(before) == plain(after)
    case let pattern where pattern.hasPrefix("$.cluster"):
      // More devices or memory than are needed.
      let total = after.pools.flatMap(\.memory).map {
        $0.denseWeights + $0.expertWeights + $0.cache + $0.activations + $0.communication
      }
      let ranks = after.pools.map { $0.firstRank + $0.mesh.pp * $0.mesh.dp * $0.mesh.tp }
      return ranks.allSatisfy { $0 <= after.cluster.nodes * after.cluster.devicesPerNode }
        && total.allSatisfy {
          Double($0) <= Double(after.cluster.memoryBytes) * after.cluster.usableFraction
        }
    case "$.pools[].placements":
      // Another order of the same rows.
      return zip(before.pools, after.pools).allSatisfy {
        Set($0.placements) == Set($1.placements) && $0.placements.count == $1.placements.count
      }
    case "$.pools[].mesh.dp", "$.pools[].first_rank":
      return after.pools.allSatisfy { $0.mesh.problem == nil }  // Other ranks of the cluster.
    case "$.pools[].role":
      return after.pools.count == 1  // Prefill, decoding or both: what a pool is used for.
    case "$.pools[].load.tokens", "$.pools[].functions[].routed_capacity",
      "$.pools[].functions[].waits", "$.pools[].functions[].waits[]",
      "$.pools[].functions[].waits[][]", "$.pools[].functions[].buffers",
      "$.pools[].functions[].buffers[]":
      return after.pools.allSatisfy { pool in
        pool.functions.allSatisfy {
          fits($0, pool) && !StreamSimulation($0).canGoWrong(runs: 60, &random)
        }
      }
    case let pattern where pattern.hasPrefix("$.pools[].functions[].schedule"):
      // Other times that can be kept as well.
      return after.pools.allSatisfy { pool in
        pool.functions.allSatisfy { !StreamSimulation($0).canGoWrong(runs: 20, &random) }
      }
    case "$.pools[].pipeline.stages[]":
      // A stage that the period does not depend on takes as long as it may.
      return zip(before.pools, after.pools).allSatisfy { $0.pipeline?.lots == $1.pipeline?.lots }
    case "$.pools[].load.sequences":
      return zip(before.pools, after.pools).allSatisfy { $0.memory == $1.memory }
    default: return false
    }
  }

  /// The plan without text for people.
  private func plain(_ plan: Plan) -> Plan {
    var plan = plan
    for pool in plan.pools.indices {
      for function in plan.pools[pool].functions.indices {
        var operations = plan.pools[pool].functions[function].function.operations
        for index in operations.indices {
          operations[index].location = -1
          if operations[index].kind.isCollective || isCollective(operations[index])
            || operations[index].kind == .sumSquares
          {
            operations[index].scope = ""
          }
        }
        plan.pools[pool].functions[function].function.operations = operations
      }
    }
    return plan
  }

  /// Whether every value has room for the most rows of a step, counted by hand.
  private func fits(_ sharded: ShardedFunction, _ pool: Pool) -> Bool {
    let parts = pool.microBatches * (pool.pipeline?.lots ?? 1)
    let tokens = (pool.load.tokens + parts - 1) / parts
    return zip(sharded.function.values, sharded.buffers).allSatisfy { type, buffer in
      let rows: Int =
        switch type.axes.first {
        case .some(.tokens): tokens
        case .some(.ownTokens): (tokens + pool.mesh.tp - 1) / pool.mesh.tp
        case .some(.routed): sharded.routedCapacity
        default: 1
        }
      let bits = type.element == .index ? 32 : Int(pool.activations.bitsPerElement)
      return type.axes.reduce(rows) { $0 * ($1.size ?? 1) } * bits / 8 <= buffer.bytes
    }
  }
}
