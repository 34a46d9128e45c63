import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// The verifier against changed plans: whatever does damage is caught.
@Suite struct MutationTests {
  static var classes: [Mutation] {
    Mutation.schedules + Mutation.overlaps + Mutation.functions + Mutation.operations
      + Mutation.weights
      + Mutation.calls + Mutation.placements + Mutation.tables
  }

  @Test func untouchedPlansVerifyAndNeverGoWrong() throws {
    var random = SeededGenerator(seed: 7)
    for (name, plan) in try SamplePlans.all() {
      #expect(plan.verify().isEmpty, "\(name)")
      for pool in plan.pools {
        for function in pool.functions {
          #expect(!StreamSimulation(function).canGoWrong(runs: 4, &random), "\(name)")
        }
      }
    }
  }

  @Test func damagingChangesAreCaught() throws {
    let plans = try SamplePlans.all()
    var random = SeededGenerator(seed: 42)
    let rounds = testCount("EPC_MUTATIONS", default: 6)
    var report: [String] = []
    for mutation in Self.classes {
      var (caught, harmless, strict, missed) = (0, 0, 0, 0)
      for _ in 0..<rounds {
        let (name, plan) = random.pick(plans)
        var changed = plan
        let verdict = mutation.apply(&changed, &random)
        if case .inapplicable = verdict { continue }
        if changed == plan { continue }
        let isCaught = !changed.verify().isEmpty
        var isDamaging = true
        if case .simulated(let pool, let function) = verdict {
          isDamaging =
            StreamSimulation(changed.pools[pool].functions[function])
            .canGoWrong(runs: 60, &random)
        }
        switch (isDamaging, isCaught) {
        case (true, true): caught += 1
        case (false, false): harmless += 1
        case (false, true): strict += 1
        case (true, false):
          missed += 1
          Issue.record("'\(mutation.name)' of \(name) is not caught")
        }
      }
      report.append(
        "\(mutation.name): \(caught) caught, \(missed) missed, \(harmless) harmless, "
          + "\(strict) caught though no run went wrong")
    }
    if rounds > 100 { print(report.joined(separator: "\n")) }
  }
}
