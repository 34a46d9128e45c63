import ArgumentParser
import EPExport
import EPIR
import EPModel
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

      With '--for' also what an engine accepts at its start and fails on later: experts, heads and \
      groups that do not come out even, and DeepEP's limits and buffers.

        epc verify plan.json
        epc verify plan.json --for sglang
      """)

  @Argument(help: "The plan.")
  var plan: String

  @Option(name: .customLong("for"), help: "An engine that is to run it: vllm, sglang or trtllm.")
  var engine: Engine?

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let verified = try Plan.load(plan)
      let preflight = engine.map { Preflight(verified, for: $0) }
      let ranks = verified.pools.reduce(0) { $0 + $1.mesh.ranks }
      switch format {
      case .text:
        Terminal.print("\(plan): well-formed, \(ranks) ranks in \(verified.pools.count) pool(s)\n")
        if let preflight { Terminal.print(preflight.text) }
      case .json:
        Terminal.print(
          Document.object([
            "ranks": .int(ranks), "pools": .int(verified.pools.count),
            "engine": preflight.map { .text("\($0.engine.title) \($0.engine.version)") },
            "checks": preflight.map { .list($0.checks.map(\.document)) },
          ]).json + "\n")
      }
      try preflight?.require()
    }
  }
}
