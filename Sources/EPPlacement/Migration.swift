/// How one placement becomes another: copies of experts, spread over steps.
public struct Migration: Hashable, Sendable {
  /// One expert copied into a slot.
  public struct Copy: Hashable, Sendable {
    /// The index of the layer among those placed.
    public var layer: Int
    /// The expert.
    public var expert: Int
    /// The slot it goes to.
    public var slot: Int
    /// The rank it comes from.
    public var from: Int
    /// The rank it goes to.
    public var to: Int
    /// Whether both are in one node.
    public var staysInNode: Bool
  }

  /// Copies that run side by side, behind one decoding step.
  public var steps: [[Copy]]
  /// The expert in each slot of each layer when all steps are done: each rank has the experts it was
  /// to have, those that stayed in their slots.
  public var slots: [[Int]]
  /// Bytes of an expert.
  public var expertBytes: Int
  /// The most bytes any rank receives or sends in one step.
  public var worstStepBytes: Int
  /// Bytes between ranks of one node.
  public var bytesInNodes: Int
  /// Bytes between nodes.
  public var bytesBetweenNodes: Int

  /// Copies of all steps.
  public var copies: Int { steps.reduce(0) { $0 + $1.count } }
}

extension PlacementShape {
  /// Orders the experts of each rank so that those that stay keep their slots.
  public func aligned(_ new: [Int], to old: [Int]) -> [Int] {
    var result = Array(repeating: -1, count: slots)
    for rank in 0..<ranks {
      let range = (rank * slotsPerRank)..<((rank + 1) * slotsPerRank)
      var incoming = Array(new[range])
      for slot in range {
        if let index = incoming.firstIndex(of: old[slot]) {
          result[slot] = old[slot]
          incoming.remove(at: index)
        }
      }
      for slot in range where result[slot] < 0 { result[slot] = incoming.removeFirst() }
    }
    return result
  }

  /// Slots whose rank did not hold their expert before.
  public func copies(from old: [Int], to new: [Int]) -> Int {
    let aligned = aligned(new, to: old)
    return aligned.indices.reduce(0) { $0 + (aligned[$1] == old[$1] ? 0 : 1) }
  }

  /// Plans the copies from one placement of all layers to another.
  ///
  /// In a step no rank receives more than `bytesPerStep`, nor sends more; one expert at least, so
  /// that the plan ends. A copy comes from a rank that holds the expert before the step: one of the
  /// same node if there is any, the least busy of those. An expert that is still wanted somewhere
  /// never loses its last slot, so every layer is whole between steps.
  public func migration(
    from old: [[Int]], to new: [[Int]], expertBytes: Int, bytesPerStep: Int
  ) throws(PlacementError) -> Migration {
    guard old.count == new.count else { throw .shape("\(old.count) and \(new.count) layers") }
    guard expertBytes > 0 else { throw .shape("an expert must have bytes") }
    for slots in old + new {
      if let fault = fault(in: slots) { throw .shape(fault) }
    }
    var planner = MigrationPlanner(shape: self, limit: max(bytesPerStep / expertBytes, 1))
    for layer in old.indices {
      planner.add(from: old[layer], to: aligned(new[layer], to: old[layer]))
    }
    return planner.plan(expertBytes: expertBytes)
  }
}
