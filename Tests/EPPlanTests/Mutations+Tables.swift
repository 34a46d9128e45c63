import EPIR
import EPModel
import EPPlan
import EPTestSupport

extension Mutation {
  /// The calls with layers, by stage and position.
  private static func layerCalls(_ pool: Pool) -> [(Int, Int)] {
    pool.stages.indices.flatMap { stage in
      pool.stages[stage].indices.filter { !pool.stages[stage][$0].layers.isEmpty }
        .map { (stage, $0) }
    }
  }

  static var calls: [Mutation] {
    [
      .pool("drop a layer") { pool, random in
        let (stage, call) = random.pick(layerCalls(pool))
        let layers = pool.stages[stage][call].layers
        pool.stages[stage][call].layers.remove(at: random.below(layers.count))
        return true
      },
      .pool("run a layer twice") { pool, random in
        let (stage, call) = random.pick(layerCalls(pool))
        let layers = pool.stages[stage][call].layers
        pool.stages[stage][call].layers.append(random.pick(layers))
        return true
      },
      .pool("swap two layers") { pool, random in
        let (stage, call) = random.pick(layerCalls(pool))
        if pool.stages[stage][call].layers.count < 2 { return false }
        pool.stages[stage][call].layers.swapAt(0, 1)
        return true
      },
      .pool("call another function") { pool, random in
        let stage = random.below(pool.stages.count)
        let call = random.below(pool.stages[stage].count)
        let before = pool.stages[stage][call].function
        pool.stages[stage][call].function = random.below(pool.functions.count + 1)
        return pool.stages[stage][call].function != before
      },
      .pool("drop a call") { pool, random in
        let stage = random.below(pool.stages.count)
        pool.stages[stage].remove(at: random.below(pool.stages[stage].count))
        return true
      },
      .pool("make a call twice") { pool, random in
        let stage = random.below(pool.stages.count)
        pool.stages[stage].append(random.pick(pool.stages[stage]))
        return true
      },
      .pool("swap two calls") { pool, random in
        let stage = random.below(pool.stages.count)
        if pool.stages[stage].count < 2 { return false }
        let first = random.below(pool.stages[stage].count - 1)
        pool.stages[stage].swapAt(first, first + 1)
        return true
      },
      .pool("swap two stages") { pool, _ in
        if pool.stages.count < 2 { return false }
        pool.stages.swapAt(0, 1)
        return true
      },
      .pool("add or drop a stage") { pool, random in
        if random.once(in: 2) { pool.stages.append([]) } else { pool.stages.removeLast() }
        return true
      },
      .pool("move a call to the next stage") { pool, random in
        if pool.stages.count < 2 { return false }
        let last = pool.stages[0].removeLast()
        pool.stages[1].insert(last, at: 0)
        return true
      },
      .pool("drop or renumber an MTP depth") { pool, random in
        if pool.drafts.isEmpty { return false }
        if random.once(in: 2) { pool.drafts.removeLast() } else { pool.drafts[0].layers[0] += 1 }
        return true
      },
      .pool("swap two functions") { pool, random in
        let first = random.below(pool.functions.count)
        let second = random.below(pool.functions.count)
        pool.functions.swapAt(first, second)
        return first != second
      },
      .pool("swap collectives between two functions") { pool, random in
        let places = pool.functions.indices.flatMap { function in
          pool.functions[function].function.operations.indices
            .filter { isCollective(pool.functions[function].function.operations[$0]) }
            .map { (function, $0) }
        }
        guard places.count > 1 else { return false }
        let (a, b) = (random.pick(places), random.pick(places))
        let first = pool.functions[a.0].function.operations[a.1]
        let second = pool.functions[b.0].function.operations[b.1]
        if first.kind == second.kind && first.attributes == second.attributes { return false }
        pool.functions[a.0].function.operations[a.1].kind = second.kind
        pool.functions[a.0].function.operations[a.1].attributes = second.attributes
        pool.functions[b.0].function.operations[b.1].kind = first.kind
        pool.functions[b.0].function.operations[b.1].attributes = first.attributes
        return true
      },
    ]
  }

  private static func placement(
    _ name: String, _ change: @escaping (inout ExpertPlacement, inout SeededGenerator) -> Bool
  ) -> Mutation {
    .pool(name) { pool, random in
      if pool.placements.isEmpty { return false }
      return change(&pool.placements[random.below(pool.placements.count)], &random)
    }
  }

  static var placements: [Mutation] {
    [
      placement("drop an expert") { placement, random in
        let expert = random.below(placement.experts)
        if placement.experts < 2 { return false }
        placement.slots = placement.slots.map { $0 == expert ? ($0 + 1) % placement.experts : $0 }
        return true
      },
      placement("hold an expert twice in a rank") { placement, _ in
        if placement.slotsPerRank < 2 { return false }
        placement.slots[1] = placement.slots[0]
        return true
      },
      placement("place an expert there is not") { placement, random in
        placement.slots[random.below(placement.slots.count)] = random.pick([-1, placement.experts])
        return true
      },
      placement("drop a slot") { placement, _ in
        placement.slots.removeLast()
        return true
      },
      placement("change the slots of a rank") { placement, random in
        placement.slotsPerRank += random.once(in: 2) ? 1 : -1
        return true
      },
      placement("change the number of experts") { placement, random in
        placement.experts += random.once(in: 2) ? 1 : -1
        return true
      },
      placement("place experts of other layers") { placement, random in
        if random.once(in: 2) { placement.layers.removeLast() } else { placement.layers.append(99) }
        return true
      },
      placement("place experts of another function") { placement, random in
        placement.function += random.pick([-1, 1, 1000])
        return true
      },
      .pool("drop a placement") { pool, _ in
        if pool.placements.isEmpty { return false }
        pool.placements.removeLast()
        return true
      },
      .pool("place a layer twice") { pool, _ in
        if pool.placements.isEmpty { return false }
        pool.placements.append(pool.placements[0])
        return true
      },
    ]
  }

  static var tables: [Mutation] {
    [
      .pool("change the memory table") { pool, random in
        let stage = random.below(pool.memory.count)
        switch random.below(5) {
        case 0: pool.memory[stage].denseWeights += 1
        case 1: pool.memory[stage].expertWeights += 1
        case 2: pool.memory[stage].cache -= 1
        case 3: pool.memory[stage].activations -= 256
        default: pool.memory[stage].communication += 1
        }
        return true
      },
      .pool("drop a memory table") { pool, _ in
        pool.memory.removeLast()
        return true
      },
      .pool("change tp, ep or pp") { pool, random in
        switch random.below(3) {
        case 0:
          pool.mesh.tp =
            pool.mesh.tp > 1 && random.once(in: 2) ? pool.mesh.tp / 2 : pool.mesh.tp * 2
        case 1:
          if pool.placements.isEmpty { return false }
          pool.mesh.ep =
            pool.mesh.ep > 1 && random.once(in: 2) ? pool.mesh.ep / 2 : pool.mesh.ep * 2
        default: pool.mesh.pp += 1
        }
        return true
      },
      .pool("take a size that is none") { pool, random in
        switch random.below(3) {
        case 0: pool.mesh.dp = random.pick([0, -1, .max, 1 << 40])
        case 1: pool.mesh.tp = random.pick([0, -1, .max, 1 << 40])
        default: pool.mesh.ep = random.pick([0, -1, .max, 1 << 40])
        }
        return true
      },
      .pool("change the context or the sequences") { pool, random in
        if random.once(in: 2) { pool.load.context += 1 } else { pool.load.sequences += 1 }
        // Only what all caches of a stage do not depend on may change freely.
        return pool.load.sequences > 0
          && pool.functions.contains { function in
            function.function.caches.contains {
              $0.window == nil && $0.kind.growsWithContext
            }
          }
      },
      .pool("take more tokens than there is room for") { pool, _ in
        pool.load.tokens *= 2
        return true
      },
      .pool("take a load that is none") { pool, random in
        switch random.below(3) {
        case 0: pool.load.tokens = random.pick([0, -1, .max])
        case 1: pool.load.sequences = random.pick([0, -1, .max])
        default: pool.load.context = random.pick([0, -1, .max])
        }
        return true
      },
      .pool("use wider activations") { pool, _ in
        pool.activations = .fp32
        return true
      },
      .plan("leave too little memory") { plan, random in
        let total = plan.pools.flatMap { $0.memory.map(\.total) }.max() ?? 0
        if random.once(in: 2) {
          plan.cluster.memoryBytes = total
          plan.cluster.usableFraction = 0.9
        } else {
          plan.cluster.usableFraction = Double(total - 1) / Double(plan.cluster.memoryBytes)
        }
        return true
      },
      .plan("take too few devices") { plan, _ in
        let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
        plan.cluster.nodes = 1
        plan.cluster.devicesPerNode = ranks - 1
        return true
      },
      .plan("start elsewhere") { plan, random in
        plan.pools[0].firstRank = random.pick([-1, .max, 1 << 19])
        return true
      },
      .plan("share ranks between pools") { plan, _ in
        if plan.pools.count < 2 { return false }
        plan.pools[1].firstRank = 0
        return true
      },
      .plan("change a pool's role") { plan, _ in
        if plan.pools.count < 2 { return false }
        plan.pools[1].role = .prefill
        return true
      },
      .plan("change the hand-over") { plan, random in
        guard let count = plan.handover?.transfers.count, count > 0 else {
          plan.handover = Handover(from: 0, to: 0, transfers: [])
          return true
        }
        let index = random.below(count)
        switch random.below(8) {
        case 0: plan.handover?.transfers[index].bytesPerToken += 1
        case 1: plan.handover?.transfers[index].layers += 1
        case 2: plan.handover?.transfers[index].sendParts += 1
        case 3: plan.handover?.transfers[index].receiveParts += 1
        case 4: plan.handover?.transfers.remove(at: index)
        case 5: plan.handover?.from = 1
        case 6: plan.handover?.transfers[index].bytesPerSequence += 1
        default: plan.handover = nil
        }
        return true
      },
      .plan("change what the model is said to be") { plan, random in
        switch random.below(9) {
        case 0: plan.model.vocabulary += 1
        case 1: plan.model.hidden += 1
        case 2: plan.model.parameters += 1
        case 3: plan.model.activatedParameters -= 1
        case 4: plan.model.draftParameters += 1
        case 5: plan.model.precision.linear = .fp8
        case 6: plan.model.name += "x"
        case 7: plan.model.ignoredTensors.append("x")
        default: plan.model.weightDigest = String(plan.model.weightDigest.reversed())
        }
        return true
      },
      .plan("drop a pool") { plan, _ in
        if plan.pools.count < 2 {
          plan.pools = []
        } else {
          plan.pools.removeLast()
        }
        return true
      },
    ]
  }
}
