import EPIR
import EPPlan
import EPPlugin

extension Plan {
  /// The plan that somebody else's program makes of this one; verified as if it came from a file.
  func applying(pass path: String) throws(Diagnostics) -> Plan {
    let answer: PlanProgram.Answer
    do throws(PluginError) {
      let program = try PlanProgram(path: path)
      answer = try program.run(
        on: try bytes, limit: Plan.mostBytes, environment: Terminal.environment)
    } catch { throw Diagnostics("pass", error.description) }
    for line in answer.notes.split(separator: "\n") { Terminal.error("\(path): \(line)") }
    do { return try Plan(bytes: answer.output) } catch {
      throw Diagnostics(
        error.all.map { problem in
          var problem = problem
          problem.place =
            "the plan of \(path)" + (problem.place.isEmpty ? "" : ": \(problem.place)")
          return problem
        })
    }
  }

  private var bytes: [UInt8] {
    get throws(PluginError) {
      do { return try serialized() } catch {
        throw .programFailed("the plan", reason: "\(error)")
      }
    }
  }
}
