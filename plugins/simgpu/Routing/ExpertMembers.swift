internal import CEPSimulation
internal import EPIR
internal import EPPlan

/// How the ranks of a stage form expert groups.
///
/// Members of the `copies` groups follow one another. Where each expert is split over a data group, a
/// member is all tensor ranks of one, which do the same.
struct ExpertMembers: Hashable {
  /// Members of a group.
  let count: Int
  /// Groups.
  let copies: Int
  /// Members that share a node.
  let node: Int
  /// Ranks of a member.
  let ranksOfMember: Int

  init(_ mesh: Mesh, devicesPerNode: Int) {
    count = mesh.ep
    ranksOfMember = mesh.expertTensorParts
    copies = mesh.expertCopies
    node = max(1, min(devicesPerNode / ranksOfMember, mesh.ep))
  }

  /// Groups as exchanges of ranks see them.
  var groups: epc_groups { epc_groups(size: count, inner: ranksOfMember) }
}

/// The slots of each logical expert, flat.
struct ReplicaTable {
  let first: Numbers<UInt32>
  let places: Numbers<UInt32>
  /// The expert in each slot.
  let experts: Numbers<UInt32>

  init(_ placement: ExpertPlacement) {
    let replicas = placement.replicas
    var starts: [UInt32] = [0]
    var flat: [UInt32] = []
    for slots in replicas {
      flat += slots.map { UInt32($0) }
      starts.append(UInt32(flat.count))
    }
    first = Numbers(starts, or: 0)
    places = Numbers(flat, or: 0)
    // No row goes to an empty slot.
    experts = Numbers(placement.slots.map { UInt32(max($0, 0)) }, or: 0)
  }
}
