internal import CEPSimulation
internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

/// What routing asks of the ranks of a stage for one micro-batch in one layer, until it is drawn anew.
final class LayerRouting {
  /// The layer.
  let layer: Int
  private let batch: Int
  let shape: DispatchShape
  let placement: ExpertPlacement
  private let members: ExpertMembers
  private let replicas: ReplicaTable
  private let table: AliasTable
  private let threshold: Numbers<UInt32>
  private let alias: Numbers<UInt32>
  private let loads: [Double]
  /// How much more than under even routing each member's links carry if loads are the mean's.
  private let traffic: [Double]?
  private let tokens: Numbers<UInt32>
  private let exchange: RoutedExchange?
  private let recording: Numbers<Int32>?
  /// What splits a batch over replicas, where the plan says so; else they take turns.
  private let split: TokenSplit?

  /// Rows of each rank's experts.
  let rows: Numbers<UInt32>
  /// The rank's experts that have rows.
  let active: Numbers<UInt32>
  /// How much more than under even routing the busiest link out of and into each rank carries.
  let out: Numbers<UInt32>
  let into: Numbers<UInt32>
  /// The different numbers of `active`.
  private(set) var activeCounts: [Int] = []
  /// Tokens that chose each logical expert, in the latest draw.
  let expertRows: Numbers<UInt64>
  /// Rows from each member to each other in the latest draw, if asked for.
  private(set) var pairs: Numbers<UInt32>?

  init(
    layer: Int, batch: Int, shape: DispatchShape, placement: ExpertPlacement,
    members: ExpertMembers, mesh: Mesh, tokens: Int, source: RoutingSource, loads: [Double]?,
    traffic: [Double]?, exchange: RoutedExchange?, keepsPairs: Bool
  ) {
    self.layer = layer
    self.batch = batch
    self.shape = shape
    self.placement = placement
    self.members = members
    self.exchange = exchange
    replicas = ReplicaTable(placement)
    let isSkewed = loads.map { $0.count == shape.experts && $0.reduce(0, +) > 0 } ?? false
    let own = isSkewed ? loads ?? [] : Array(repeating: 1, count: shape.experts)
    self.loads = own
    self.traffic = traffic
    if placement.sharing == .batch {
      do throws(PlacementError) {
        split = try TokenSplit(
          shape: try PlacementShape(
            experts: placement.experts, ranks: members.count,
            slotsPerRank: placement.slotsPerRank), slots: placement.slots)
      } catch { split = nil }
    } else {
      split = nil
    }
    table = AliasTable(
      weights: isSkewed
        ? RoutingChances(loads: own, topK: shape.topK, groups: shape.groups, kept: shape.kept)
          .weights : own)
    threshold = Numbers(table.threshold, or: 0)
    alias = Numbers(table.alias, or: 0)
    let all = members.count * members.copies
    self.tokens = Numbers(repeating: 0, count: all)
    for member in 0..<all {
      let tensor = members.ranksOfMember == 1 ? member % mesh.tp : 0
      self.tokens[member] = UInt32(shape.tokens(of: tokens, tensor: tensor, mesh: mesh))
    }
    if case .recorded(let choices) = source.kind, let own = choices[layer],
      own.count >= shape.topK
    {
      recording = Numbers(own, or: -1)
    } else {
      recording = nil
    }
    let ranks = all * members.ranksOfMember
    rows = Numbers(repeating: 0, count: ranks)
    active = Numbers(repeating: 0, count: ranks)
    out = Numbers(repeating: EPC_RATIO_ONE, count: ranks)
    into = Numbers(repeating: EPC_RATIO_ONE, count: ranks)
    expertRows = Numbers(repeating: 0, count: shape.experts)
    pairs =
      keepsPairs ? Numbers(repeating: 0, count: members.count * members.count) : nil
  }

  /// Rows of a rank on average.
  var meanRows: Double {
    let sent = tokens.array.reduce(0) { $0 + Int($1) } * shape.topK
    return Double(sent) / Double(max(tokens.count, 1))
  }

  /// The rows of the fullest rank.
  var mostRows: Int { rows.array.reduce(0) { max($0, Int($1)) } }

  // MARK: Draws

  /// A draw being made, and where its results lie.
  @safe
  struct Draw {
    let routing: LayerRouting
    let slotRows: Numbers<UInt32>
    let links: [Numbers<UInt32>]
    let request: epc_draw
  }

  /// What C is to draw; `key` tells draws of a layer apart.
  func draw(seed: UInt64, key: UInt64) -> Draw {
    let all = members.count * members.copies
    let slotRows = Numbers<UInt32>(repeating: 0, count: all * placement.slotsPerRank)
    let links = (0..<4).map { _ in Numbers<UInt32>(repeating: 0, count: all) }
    expertRows.fill(0)
    pairs?.fill(0)
    var mixed = seed &+ 0x9E37_79B9_7F4A_7C15 &* (key &+ 1)
    mixed = (mixed ^ (mixed >> 31)) &* 0xBF58_476D_1CE4_E5B9
    mixed ^= UInt64(layer) ^ UInt64(batch) << 32
    let request = unsafe epc_draw(
      key: mixed, experts: UInt32(shape.experts), top_k: UInt32(shape.topK),
      threshold: threshold.base, alias: alias.base, recorded: recording?.base,
      recorded_rows: (recording?.count ?? 0) / shape.topK, groups: UInt32(shape.groups),
      kept: UInt32(shape.kept), first_place: replicas.first.base, places: replicas.places.base,
      slot_expert: replicas.experts.base,
      members: UInt32(members.count), copies: UInt32(members.copies),
      slots: UInt32(placement.slotsPerRank), node: UInt32(members.node), tokens: tokens.base,
      is_hierarchical: exchange.map { $0.exchange.isLowLatency ? 0 : 1 } ?? 0,
      slot_rows: slotRows.base, expert_rows: expertRows.base, far_out: links[0].base,
      far_in: links[1].base, near_out: links[2].base, near_in: links[3].base, pairs: pairs?.base)
    return unsafe Draw(routing: self, slotRows: slotRows, links: links, request: request)
  }

  /// Takes over what was drawn.
  func take(_ draw: Draw, uplinkShare: Double) {
    let links = draw.links
    let all = members.count * members.copies
    if let split { rebalance(draw, split) }
    summarise(draw.slotRows)
    guard let exchange, exchange.evenSeconds > 0 else { return }
    let one = Double(EPC_RATIO_ONE) / exchange.evenSeconds
    let (far, near) = exchange.secondsOfRow
    var base = 0
    while base < all {
      // A node's uplinks carry what its members send and get, together.
      let end = min(base + members.node, (base / members.count + 1) * members.count)
      var (sent, got) = (0.0, 0.0)
      for member in base..<end {
        sent += Double(links[0][member])
        got += Double(links[1][member])
      }
      let uplink = far / (Double(end - base) * uplinkShare)
      for member in base..<end {
        let sending = max(
          Double(links[0][member]) * far, Double(links[2][member]) * near, sent * uplink)
        let getting = max(
          Double(links[1][member]) * far, Double(links[3][member]) * near, got * uplink)
        for rank in ranks(of: member) {
          out[rank] = UInt32(min(sending * one + 0.5, 1e9))
          into[rank] = UInt32(min(getting * one + 0.5, 1e9))
        }
      }
      base = end
    }
  }

  /// Gives every expert exactly its share, replicas in equal parts.
  func takeMean() {
    let total = loads.reduce(0, +)
    let sent = tokens.array.reduce(0) { $0 + Int($1) }
    let copies = Double(sent * shape.topK) / Double(members.copies)
    let all = members.count * members.copies
    let slotRows = Numbers<UInt32>(repeating: 0, count: all * placement.slotsPerRank)
    var ofMember = Array(repeating: 0.0, count: members.count)
    for (expert, load) in loads.enumerated() {
      expertRows[expert] = UInt64(load / total * copies * Double(members.copies) + 0.5)
    }
    for (slot, share) in placement.slotShares(for: loads).enumerated() {
      ofMember[slot / placement.slotsPerRank] += share * copies
      for copy in 0..<members.copies {
        let place = copy * members.count * placement.slotsPerRank + slot
        slotRows[place] = UInt32(share * copies + 0.5)
      }
    }
    summarise(slotRows)
    let mean = max(copies / Double(members.count), 1e-9)
    for member in 0..<all {
      let own = member % members.count
      let ratio = (traffic?[own] ?? ofMember[own] / mean) * Double(EPC_RATIO_ONE)
      for rank in ranks(of: member) {
        out[rank] = EPC_RATIO_ONE
        into[rank] = UInt32(min(ratio + 0.5, 1e9))
      }
    }
  }

  /// Splits a drawn batch over replicas so that the fullest rank has as little as possible, and moves
  /// the traffic of the links along.
  private func rebalance(_ draw: Draw, _ split: TokenSplit) {
    let slots = members.count * placement.slotsPerRank
    for copy in 0..<members.copies {
      var tokens = Array(repeating: 0, count: placement.experts)
      for slot in 0..<slots {
        tokens[placement.slots[slot]] += Int(draw.slotRows[copy * slots + slot])
      }
      let after: [Int]
      do throws(PlacementError) { after = try split.split(tokens: tokens).slots } catch { return }
      for member in 0..<members.count {
        var (old, new) = (0, 0)
        for slot in (member * placement.slotsPerRank)..<((member + 1) * placement.slotsPerRank) {
          old += Int(draw.slotRows[copy * slots + slot])
          new += after[slot]
          draw.slotRows[copy * slots + slot] = UInt32(clamping: after[slot])
        }
        if old == 0 { continue }
        for link in [1, 3] {
          let place = copy * members.count + member
          draw.links[link][place] = UInt32(clamping: Int(draw.links[link][place]) * new / old)
        }
      }
    }
  }

  private func ranks(of member: Int) -> Range<Int> {
    (member * members.ranksOfMember)..<((member + 1) * members.ranksOfMember)
  }

  private func summarise(_ slotRows: Numbers<UInt32>) {
    let slots = placement.slotsPerRank
    var seen: Set<Int> = []
    for member in 0..<(members.count * members.copies) {
      var sum: UInt32 = 0
      var used: UInt32 = 0
      for slot in (member * slots)..<((member + 1) * slots) {
        let count = slotRows[slot]
        sum += count
        used += count > 0 ? 1 : 0
      }
      seen.insert(Int(used))
      for rank in ranks(of: member) {
        rows[rank] = sum
        active[rank] = used
      }
    }
    activeCounts = seen.sorted()
  }
}
