import EPIR
import EPPlan
import EPPlugin

extension Plan {
  /// The plan that somebody else's program makes of this one; verified as if it came from a file.
  func applying(pass path: String) throws(Diagnostics) -> Plan {
    let made = try output(of: path, as: "pass")
    do { return try Plan(bytes: made) } catch {
      throw Diagnostics(
        error.all.map { problem in
          var problem = problem
          problem.place =
            "the plan of \(path)" + (problem.place.isEmpty ? "" : ": \(problem.place)")
          return problem
        })
    }
  }

  /// What somebody else's exporter writes of this plan.
  func exported(by path: String) throws(Diagnostics) -> [UInt8] {
    try output(of: path, as: "exporter")
  }

  private func output(of path: String, as id: String) throws(Diagnostics) -> [UInt8] {
    let bytes: [UInt8]
    do { bytes = try serialized() } catch { throw Diagnostics("plan-json", "\(error)") }
    do throws(PluginError) {
      let answer = try PlanProgram(path: path)
        .run(on: bytes, limit: Plan.mostBytes, environment: Terminal.environment)
      for line in answer.notes.split(separator: "\n") { Terminal.error("\(path): \(line)") }
      return answer.output
    } catch { throw Diagnostics(id, error.description) }
  }
}
