import ArgumentParser
import EPIR
import EPPlan

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
      let bytes = try Terminal.read(plan, maxBytes: Plan.mostBytes)
      let verified = try Plan(bytes: bytes)
      let ranks = verified.pools.reduce(0) { $0 + $1.mesh.ranks }
      Terminal.print("\(plan): well-formed, \(ranks) ranks in \(verified.pools.count) pool(s)\n")
    }
  }
}
