internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

// Experts on devices of unlike speed and memory: balanced by speed, as many as memory has room for.
extension Compiler {
  /// An expert rank, as the least of the devices that hold its slots.
  private struct ExpertDevice {
    var speed: Double
    /// The part of an even share of the experts that it has memory for.
    var room: Double
  }

  /// Gives every expert of a pool one slot, on devices that are unlike.
  static func placeUnlike(_ compilation: inout Compilation, pool index: Int) throws(Diagnostics) {
    let role = compilation.pools[index].role.rawValue
    if let wish = compilation.request.pools[index].redundantExperts, wish > 0 {
      throw Diagnostics(
        "expert-unlike",
        "'--redundant-experts \(wish)' on '\(compilation.cluster.name)', whose unlike devices hold each "
          + "expert once; leave it out")
    }
    if compilation.request.sharing == .batch {
      throw Diagnostics(
        "expert-unlike",
        "batches are split over replicas, and '\(compilation.cluster.name)', whose devices are unlike, has "
          + "none; leave out '--sharing batch'")
    }
    let devices = try expertDevices(compilation, pool: index)
    let drafts = Set(compilation.program.drafts.flatMap(\.layers))
    for (function, layers) in compilation.expertLayers {
      guard
        let experts = compilation.program.functions[function].operations
          .first(where: { $0.kind == .dispatch })?.attributes.int("experts")
      else { continue }
      var rows: [(layers: [Int], weights: [Double])] = []
      if let source = compilation.request.loads {
        let own = layers.filter { !drafts.contains($0) }.sorted()
        if !own.isEmpty {
          let loads = try compilation.loads(source, own, experts)
          rows = zip(loads.layers, loads.rows).map { ([$0], $1) }
        }
      }
      let rest = layers.filter { layer in !rows.contains { $0.layers == [layer] } }
      if !rest.isEmpty { rows.append((rest, Array(repeating: 1, count: experts))) }
      let even = Double((experts + devices.count - 1) / devices.count)
      let room = devices.map { min(experts, Int($0.room * even)) }
      var placed: [(layers: [Int], placement: UnlikePlacement)] = []
      for row in rows {
        do throws(PlacementError) {
          placed.append(
            (
              row.layers,
              try UnlikePlacement(weights: row.weights, speeds: devices.map(\.speed), room: room)
            ))
        } catch {
          throw Diagnostics(
            "memory",
            "the \(role) pool: \(error.description), beside what they hold of the rest ("
              + room.map(String.init).joined(separator: ", ")
              + "); take more devices, more memory, or a smaller load")
        }
      }
      let slots = placed.flatMap { $0.placement.experts.map(\.count) }.max() ?? 1
      for (layers, placement) in placed {
        compilation.pools[index].placements.append(
          ExpertPlacement(
            function: function, layers: layers, experts: experts, slotsPerRank: slots,
            slots: placement.experts.flatMap { held in
              held + Array(repeating: ExpertPlacement.empty, count: slots - held.count)
            }))
      }
      // MTP depths are mostly placed as layers are, which need not be said twice.
      let said = "\(role): " + sentence(placed.map(\.placement), devices, experts: experts)
      if !compilation.decisions.contains(said) { compilation.decisions.append(said) }
    }
  }

  /// Who got what: `experts by speed: 24 of 32 on rank 0 (speed 1), ...`.
  private static func sentence(
    _ placed: [UnlikePlacement], _ devices: [ExpertDevice], experts: Int
  ) -> String {
    let shown = devices.indices.prefix(8).map { rank in
      let counts = placed.map { $0.experts[rank].count }
      let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
      return "\(least == most ? "\(most)" : "\(least) to \(most)") on expert rank \(rank) (speed "
        + "\(devices[rank].speed))"
    }
    let gap = placed.map { $0.bound > 0 ? $0.most / $0.bound : 1 }.max() ?? 1
    let percent = Int(((gap - 1) * 1000).rounded())
    return "\(experts) experts by speed and memory: " + shown.joined(separator: ", ")
      + (devices.count > shown.count ? " and so on" : "")
      + "; the last rank is done at most \(percent / 10).\(percent % 10) % after the least possible"
  }

  /// What expert ranks are on: found by compiling for devices of one kind, to know what a rank holds
  /// beside experts.
  private static func expertDevices(
    _ compilation: Compilation, pool index: Int
  ) throws(Diagnostics) -> [ExpertDevice] {
    var trial = compilation
    trial.cluster.unlike = []
    trial.cluster.hardware.memoryBytes = 1 << 50
    trial.request.overlap = .none
    trial.request.loads = nil
    trial.decisions = []
    for pool in trial.pools.indices { trial.pools[pool].placements = [] }
    for pass in passes.drop(while: { $0.name != "place-experts" })
    where pass.name != "account-memory" { try pass.run(&trial) }
    let (pool, summary) = (trial.pools[index], compilation.cluster.summary)
    let tables = pool.stages.indices.map {
      pool.memoryTable(ofStage: $0, precision: compilation.program.precision)
    }
    return (0..<pool.mesh.ep).map { expert in
      let ranks = pool.ranks(ofExpertRank: expert)
      return ExpertDevice(
        speed: ranks.map { summary.speed(ofRank: pool.firstRank + $0) }.min() ?? 1,
        room: ranks.map { rank in
          let table = tables[pool.mesh.coordinates(of: rank).stage]
          let usable = summary.usableBytes(ofRank: pool.firstRank + rank)
          let left = max(usable - (table.total - table.expertWeights), 0)
          return Double(left) / Double(max(table.expertWeights, 1))
        }.min() ?? 0)
    }
  }

  /// Refuses what does not fit a device, where each has its own memory.
  static func requireUnlikeFits(
    _ compilation: Compilation, _ pool: Pool
  ) throws(Diagnostics) {
    let summary = compilation.cluster.summary
    for rank in 0..<pool.mesh.ranks {
      let held = pool.heldBytes(
        ofRank: rank, tables: pool.memory, precision: compilation.program.precision)
      let usable = summary.usableBytes(ofRank: pool.firstRank + rank)
      if held > usable {
        throw Diagnostics(
          "memory",
          "rank \(rank) of the \(pool.role.rawValue) pool (\(pool.mesh)) needs \(gibibytes(held)), and its "
            + "device has \(gibibytes(usable)) usable; take a smaller load, or give it more memory")
      }
    }
  }
}

extension Compilation {
  /// Loads of some layers of a model.
  func loads(
    _ source: LoadSource, _ own: [Int], _ experts: Int
  ) throws(Diagnostics) -> ExpertLoads {
    let drafts = Set(program.drafts.flatMap(\.layers))
    let all = expertLayers.flatMap(\.layers).filter { !drafts.contains($0) }.sorted()
    do throws(PlacementError) {
      return try source.loads(
        layers: all, of: Set(program.calls.flatMap(\.layers)).count, experts: experts
      ).matched(to: own, of: -1)
    } catch { throw Diagnostics("expert-loads", "\(program.name): \(error.description)") }
  }
}
