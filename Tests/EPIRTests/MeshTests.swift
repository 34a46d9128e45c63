import EPIR
import Testing

@Suite struct MeshTests {
  @Test func groupsPartitionTheRanks() {
    for pp in [1, 2, 3] {
      for dp in 1...6 {
        for tp in [1, 2, 3, 4] {
          for ep in 1...24 {
            let mesh = Mesh(pp: pp, dp: dp, tp: tp, ep: ep)
            if mesh.problem == nil { check(mesh) }
          }
        }
      }
    }
  }

  private func check(_ mesh: Mesh) {
    var seen: Set<Mesh.Coordinates> = []
    for rank in 0..<mesh.ranks {
      let own = mesh.coordinates(of: rank)
      #expect(seen.insert(own).inserted)
      #expect(own.stage < mesh.pp && own.data < mesh.dp && own.tensor < mesh.tp)
      #expect(own.expert < mesh.ep && own.expertCopy < mesh.expertCopies)
      for group in Mesh.Group.allCases {
        let members = mesh.members(of: group, with: rank)
        #expect(members.count == mesh.size(of: group) && Set(members).count == members.count)
        #expect(members.contains(rank))
        for other in members where other != rank {
          #expect(mesh.members(of: group, with: other) == members, "\(mesh) \(group) \(rank)")
        }
        switch group {
        case .tensor: #expect(members.firstIndex(of: rank) == own.tensor)
        case .expert: #expect(members.firstIndex(of: rank) == own.expert)
        case .pipeline: #expect(members.firstIndex(of: rank) == own.stage)
        }
      }
    }
  }

  @Test func impossibleSizesAreRefusedAndNeverTrap() {
    for size in [0, -1, Int.min, Int.max, 1 << 40] {
      for mesh in [Mesh(pp: size), Mesh(dp: size), Mesh(tp: size), Mesh(ep: size)] {
        #expect(mesh.problem != nil)
      }
    }
    #expect(Mesh(pp: 1 << 20, dp: 1 << 20, tp: 1 << 20).problem != nil)
    #expect(Mesh(dp: 6, tp: 1, ep: 4).problem != nil)
  }
}
