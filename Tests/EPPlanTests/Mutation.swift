import EPIR
import EPModel
import EPPlan
import EPTestSupport

/// A way of changing a plan.
struct Mutation {
  /// Whether a change does damage.
  enum Verdict {
    /// It always does, wherever it could be made at all.
    case damaging
    /// It does where the simulation of the changed function's streams can go wrong.
    case simulated(pool: Int, function: Int)
    /// The change could not be made here.
    case inapplicable
  }

  var name: String
  var apply: (inout Plan, inout SeededGenerator) -> Verdict

  init(_ name: String, _ apply: @escaping (inout Plan, inout SeededGenerator) -> Verdict) {
    self.name = name
    self.apply = apply
  }

  /// A change of some function of some pool.
  static func function(
    _ name: String,
    _ change: @escaping (inout ShardedFunction, Pool, inout SeededGenerator) -> Bool
  ) -> Mutation {
    Mutation(name) { plan, random in
      let (pool, function) = place(plan, &random)
      let whole = plan.pools[pool]
      return change(&plan.pools[pool].functions[function], whole, &random)
        ? .damaging : .inapplicable
    }
  }

  /// A change whose damage the simulation decides.
  static func schedule(
    _ name: String, _ change: @escaping (inout ShardedFunction, inout SeededGenerator) -> Bool
  ) -> Mutation {
    Mutation(name) { plan, random in
      let (pool, function) = place(plan, &random)
      return change(&plan.pools[pool].functions[function], &random)
        ? .simulated(pool: pool, function: function) : .inapplicable
    }
  }

  /// A change of some operation for which `isWanted` holds.
  static func operation(
    _ name: String, where isWanted: @escaping (Operation) -> Bool = { _ in true },
    _ change: @escaping (inout Operation, ShardedFunction, inout SeededGenerator) -> Bool
  ) -> Mutation {
    .function(name) { function, _, random in
      let whole = function
      let numbers = function.function.operations.indices.filter {
        isWanted(function.function.operations[$0])
      }
      guard !numbers.isEmpty else { return false }
      return change(&function.function.operations[random.pick(numbers)], whole, &random)
    }
  }

  /// A change of some weight.
  static func weight(
    _ name: String,
    _ change:
      @escaping (inout WeightDeclaration, inout WeightSharding, Pool, inout SeededGenerator) -> Bool
  ) -> Mutation {
    .function(name) { function, pool, random in
      guard !function.sharding.isEmpty else { return false }
      let index = random.below(function.sharding.count)
      return change(&function.function.weights[index], &function.sharding[index], pool, &random)
    }
  }

  /// A change of a pool.
  static func pool(
    _ name: String, _ change: @escaping (inout Pool, inout SeededGenerator) -> Bool
  ) -> Mutation {
    Mutation(name) { plan, random in
      change(&plan.pools[random.below(plan.pools.count)], &random) ? .damaging : .inapplicable
    }
  }

  /// A change of the plan's tables.
  static func plan(
    _ name: String, _ change: @escaping (inout Plan, inout SeededGenerator) -> Bool
  ) -> Mutation {
    Mutation(name) { plan, random in change(&plan, &random) ? .damaging : .inapplicable }
  }

  private static func place(_ plan: Plan, _ random: inout SeededGenerator) -> (Int, Int) {
    let pool = random.below(plan.pools.count)
    return (pool, random.below(plan.pools[pool].functions.count))
  }
}
