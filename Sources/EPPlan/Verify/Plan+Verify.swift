public import EPIR
internal import EPModel

extension Plan {
  /// Everything that is wrong with the plan; empty for a plan that can run.
  ///
  /// Proven here: functions are well-formed and their calls fit together; every weight element is
  /// held by the ranks that should hold it, and the weights are the model's; partial sums are
  /// reduced before anything else reads them; collectives match on all ranks of their groups;
  /// every read comes after the write it needs, on whichever stream; buffers that live together do
  /// not overlap; memory adds up and fits.
  public func verify() -> [Diagnostic] {
    var problems: [Diagnostic] = []
    for (index, pool) in pools.enumerated() {
      let place = "$.pools[\(index)]"
      var verifier = PoolVerifier(plan: self, pool: pool, place: place)
      verifier.run()
      problems += verifier.problems
    }
    if pools.isEmpty || pools.count > 2 {
      problems.append(Diagnostic("pool-roles", "a plan has one or two pools", at: "$.pools"))
    }
    // What follows adds up sizes that were looked at above.
    if !problems.isEmpty { return problems }
    return verifyRanks() + verifyHandover()
  }

  private func verifyRanks() -> [Diagnostic] {
    var problems: [Diagnostic] = []
    let spans = pools.map { $0.firstRank..<($0.firstRank + $0.mesh.ranks) }
    for (index, span) in spans.enumerated() {
      if span.upperBound > cluster.devices {
        problems.append(
          Diagnostic(
            "pool-ranks",
            "ranks \(span.lowerBound)..<\(span.upperBound) on a cluster of \(cluster.devices) devices",
            at: "$.pools[\(index)]"))
      }
      if spans.dropFirst(index + 1).contains(where: { $0.overlaps(span) }) {
        problems.append(
          Diagnostic("pool-overlap", "two pools share ranks", at: "$.pools[\(index)]"))
      }
    }
    let roles = pools.map(\.role)
    if roles.count == 2 && Set(roles) != [.prefill, .decode] {
      problems.append(
        Diagnostic("pool-roles", "two pools are one for prefill and one for decode", at: "$.pools"))
    }
    return problems
  }

  private func verifyHandover() -> [Diagnostic] {
    if pools.count == 1 && handover == nil { return [] }
    let from = pools.firstIndex { $0.role == .prefill } ?? 0
    let to = pools.firstIndex { $0.role == .decode } ?? 0
    let expected = pools.count == 2 ? Handover.make(from: from, to: to, in: pools) : nil
    if handover == expected { return [] }
    return [
      Diagnostic(
        "handover",
        "the hand-over does not move each cache of the prefill pool to the decode pool",
        at: "$.handover")
    ]
  }
}

/// Verifies one pool of a plan.
struct PoolVerifier {
  let plan: Plan
  let pool: Pool
  let place: String
  var problems: [Diagnostic] = []
  /// Each function put together again, where it is a part of one of the model's.
  var unsharded: [FunctionUnsharder?] = []

  init(plan: Plan, pool: Pool, place: String) {
    self.plan = plan
    self.pool = pool
    self.place = place
  }

  mutating func run() {
    verifyShape()
    if !problems.isEmpty { return }
    for index in pool.functions.indices { verifyFunction(index) }
    if !problems.isEmpty { return }
    unshardFunctions()
    verifyTransports()
    if !problems.isEmpty { return }
    verifyCalls()
    verifyPlacements()
    verifyModel()
    if !problems.isEmpty { return }
    for index in pool.functions.indices {
      verifyWeights(index)
      verifyParts(index)
      verifyCollectives(index)
      verifyOrder(index)
      verifySchedule(index)
    }
    verifyPipeline()
    verifyMemory()
  }

  mutating func report(_ id: String, _ message: String, _ suffix: String = "") {
    if problems.count < 50 { problems.append(Diagnostic(id, message, at: place + suffix)) }
  }

  /// Sizes of tables, so that nothing below is out of range.
  private mutating func verifyShape() {
    if let problem = pool.mesh.problem {
      report("mesh", problem, ".mesh")
      return
    }
    if !(0...Pool.mostRanks).contains(pool.firstRank) {
      report("first-rank", "the first rank is \(pool.firstRank)", ".first_rank")
    }
    if let problem = pool.load.problem { report("load", problem, ".load") }
    if !(1...LayerSchedule.mostMicroBatches).contains(pool.microBatches) {
      report(
        "micro-batches",
        "\(pool.microBatches) micro-batches; a step has at least 1 and at most "
          + "\(LayerSchedule.mostMicroBatches)", ".micro_batches")
    }
    verifyLots()
    if pool.stages.count != pool.mesh.pp {
      report("stages", "\(pool.stages.count) stages for pp \(pool.mesh.pp)", ".stages")
    }
    for call in pool.stages.flatMap({ $0 }) + pool.drafts
    where !pool.functions.indices.contains(call.function) {
      report("call-function", "\(call.function) is none of the functions", ".stages")
    }
    for (index, function) in pool.functions.enumerated() {
      let operations = function.function.operations.count
      if function.streams.count != operations || function.waits.count != operations
        || function.buffers.count != function.function.values.count
        || function.sharding.count != function.function.weights.count
        || function.cacheParts.count != function.function.caches.count
      {
        report(
          "function-tables", "streams, waits, buffers or sharding do not fit the operations",
          ".functions[\(index)]")
      } else {
        verifyIssue(index)
      }
      for (number, operation) in function.function.operations.enumerated()
      where operation.location >= plan.locations.count {
        report(
          "location", "place \(operation.location) of \(plan.locations.count)",
          ".functions[\(index)].operations[\(number)].at")
      }
    }
    for (index, placement) in pool.placements.enumerated()
    where !pool.functions.indices.contains(placement.function) || placement.slotsPerRank < 1
      || placement.experts < 1
    {
      report("placement-function", "the placement has no function", ".placements[\(index)]")
    }
  }

  private mutating func verifyFunction(_ index: Int) {
    do { try pool.functions[index].function.verify() } catch {
      report("function", error.description, ".functions[\(index)]")
    }
  }

  /// Where devices are unlike, each rank has its own limit and holds its own slots.
  private mutating func verifyUnlikeMemory(_ tables: [MemoryTable]) {
    let devices = plan.cluster.devices
    if let problem = UnlikeDevices.problem(of: plan.cluster.unlike, devices: devices) {
      report("cluster-unlike", problem)
      return
    }
    for rank in 0..<pool.mesh.ranks {
      let held = pool.heldBytes(ofRank: rank, tables: tables, precision: plan.model.precision)
      let usable = plan.cluster.usableBytes(ofRank: pool.firstRank + rank)
      if held > usable {
        report(
          "memory", "rank \(rank) holds \(held) bytes on its device, \(usable) are usable",
          ".memory")
      }
    }
  }

  private mutating func verifyMemory() {
    let tables = pool.stages.indices.map {
      pool.memoryTable(ofStage: $0, precision: plan.model.precision)
    }
    if tables != pool.memory {
      report("memory-table", "the memory table does not add up", ".memory")
    }
    if !plan.cluster.unlike.isEmpty { return verifyUnlikeMemory(tables) }
    let usable = plan.cluster.usableBytes
    for (stage, table) in tables.enumerated() where table.total > usable {
      report(
        "memory",
        "stage \(stage) holds \(table.total) bytes on a device, \(usable) are usable", ".memory")
    }
  }
}
