import ArgumentParser
import EPIR
import EPPlan

extension Plan {
  /// Reads and verifies the plan in a file.
  static func load(_ path: String) throws(Diagnostics) -> Plan {
    let bytes = try Terminal.read(path, maxBytes: Plan.mostBytes)
    do { return try Plan(bytes: bytes) } catch {
      throw Diagnostics(
        error.all.map { problem in
          var problem = problem
          problem.place = problem.place.isEmpty ? path : "\(path): \(problem.place)"
          return problem
        })
    }
  }
}

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Prove a plan well-formed.",
    discussion: """
      Checked are shapes, the placement of every weight element and expert, partial sums, \
      matching collectives on all ranks, the order of streams, buffers, memory and references. \
      Every command that reads a plan checks the same first.
      """)

  @Argument(help: "The plan.")
  var plan: String

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let verified = try Plan.load(plan)
      let ranks = verified.pools.reduce(0) { $0 + $1.mesh.ranks }
      Terminal.print("\(plan): well-formed, \(ranks) ranks in \(verified.pools.count) pool(s)\n")
    }
  }
}
