import EPBackendCPU
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPReference
import Testing

@testable import EPRuntime

/// Splitting batches over replicas: every member comes to the same split, which is the best there is,
/// and the tokens made are those of even shares.
@Suite struct SharingTests {
  @Test func membersAgreeOnASplitThatIsTheBest() throws {
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      let members = 1 + random.below(6)
      let experts = members + random.below(10)
      let least = (experts + members - 1) / members
      let slots = min(least + random.below(3), experts)
      let shape = try PlacementShape(experts: experts, ranks: members, slotsPerRank: slots)
      let weights = (0..<experts).map { _ in random.unit() }
      let split = try TokenSplit(
        shape: shape, slots: try ExpertBalancer(shape: shape).place(weights: weights).slots)
      let counts = (0..<(members * experts)).map { _ in Int32(random.below(20)) }
      let shares = (0..<members).map { BatchSharing(split, counts: counts, own: $0) }
      var rows = Array(repeating: 0, count: members)
      for (sender, share) in shares.enumerated() {
        for expert in 0..<experts {
          let sent = share.targets[expert].reduce(0) { $0 + $1.rows }
          #expect(sent == Int(counts[sender * experts + expert]))
          for target in share.targets[expert] {
            #expect(split.places(of: expert).contains(target.slot))
            rows[target.slot / slots] += target.rows
          }
        }
        for (receiver, other) in shares.enumerated() {
          for slot in 0..<slots {
            let sent = share.targets.joined()
              .filter { $0.slot == receiver * slots + slot }.reduce(0) { $0 + $1.rows }
            #expect(sent == Int(other.received[sender * slots + slot]))
          }
        }
      }
      let totals = (0..<experts).map { expert in
        (0..<members).reduce(0) { $0 + Int(counts[$1 * experts + expert]) }
      }
      #expect(rows.max() == (try split.split(tokens: totals).most))
    }
  }

  @Test(arguments: [
    Mesh(dp: 6, ep: 6), Mesh(dp: 3, tp: 2, ep: 3), Mesh(pp: 2, dp: 5, ep: 5), Mesh(),
  ])
  func batchesMakeWhatEvenSharesMake(mesh: Mesh) throws {
    let program = SmallModels.program(1, drafts: 0)
    var made: [GenerationResult] = []
    for sharing in ExpertPlacement.Sharing.allCases {
      var plan = try ReferenceCase.plan(of: program, mesh: mesh, tokens: 40)
      for index in plan.pools[0].placements.indices {
        plan.pools[0].placements[index].sharing = sharing
      }
      #expect(plan.verify().isEmpty)
      let again = try Plan(bytes: try plan.serialized())
      #expect(again == plan)
      let session = try PlanSession(
        again, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
      made.append(
        try session.generate(
          GenerationRequest(
            prompts: SmallModels.prompts(5, count: 8), count: 4, kept: [.logits, .routing])))
    }
    let (turn, batch) = (made[0], made[1])
    for (a, b) in zip(turn.prompts, batch.prompts) {
      #expect(a.tokens == b.tokens)
      #expect(a.prefillLogits == b.prefillLogits && a.decodeLogits == b.decodeLogits)
    }
    let (even, split) = (turn.statistics.routedBalance, batch.statistics.routedBalance)
    #expect(even.batches == split.batches && even.batches > 0)
    // Tokens in turn are one way to split a batch.
    #expect(split.sum >= even.sum - 1e-9)
    #expect(even.evenMean == nil && split.evenMean != nil)
    if mesh.ep == 6 { #expect(split.sum > even.sum) }
  }
}
