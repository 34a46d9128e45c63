import EPIR
import EPJSON
import EPPlan
import EPTestSupport
import Testing

/// Every field of a plan's JSON is changed in turn; a plan that is still read must be one that is
/// as good as the one before.
@Suite struct TreeMutationTests {
  /// Fields that can change without harm, each with the reason.
  static let harmless: [String: String] = [:]

  @Test func everyFieldMatters() throws {
    var random = SeededGenerator(seed: 1)
    var accepted: [String: Int] = [:]
    var caught: [String: Int] = [:]
    for (name, plan) in try SamplePlans.all() {
      let tree = plan.document.jsonValue
      var paths: [String: [[JSONStep]]] = [:]
      tree.visit { steps, _ in paths[JSONStep.pattern(steps), default: []].append(steps) }
      for (pattern, places) in paths.sorted(by: { $0.key < $1.key }) {
        let steps = random.pick(places)
        guard let changed = tree.mutated(at: steps, &random), changed != tree else { continue }
        let bytes = try changed.serialized()
        do {
          _ = try Plan(bytes: bytes)
          accepted[pattern, default: 0] += 1
          _ = name
        } catch { caught[pattern, default: 0] += 1 }
      }
    }
    for (pattern, count) in accepted.sorted(by: { $0.key < $1.key })
    where Self.harmless[pattern] == nil {
      Issue.record("\(pattern): \(count) of \(count + (caught[pattern] ?? 0)) changes passed")
    }
    print(
      "tree mutations:", caught.values.reduce(0, +), "caught,", accepted.values.reduce(0, +),
      "harmless")
  }
}
