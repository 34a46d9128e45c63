import ArgumentParser
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPReport

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show what is in a plan.",
    discussion: """
      Without options, the summary: model, mesh, memory, and what a layer sends.

        epc show plan.json --rank 17
        epc show plan.json --ops
        epc show plan.json --graph layer.svg --function layer3
        epc show plan.json --timeline -o layer.svg
      """)

  @Argument(help: "The plan.")
  var plan: String

  @Option(help: "Show what one rank of a pool holds and runs.")
  var rank: Int?

  @Flag(help: "Show every operation of every function.")
  var ops = false

  @Option(help: "Draw a function: FILE.svg is a picture, FILE.dot is for Graphviz, '-' is DOT.")
  var graph: String?

  @Flag(
    help: ArgumentHelp(
      "Draw one period of a layer's schedule into the file that '-o' names.",
      discussion: "FILE.svg is a picture, FILE.json is a trace for Perfetto."))
  var timeline = false

  @Option(name: .shortAndLong, help: "Where '--timeline' is written; '-' is stdout, as a picture.")
  var output: String?

  @Option(help: "The function to draw; the one most layers call unless set.")
  var function: String?

  @Option(help: "The pool, for plans with two: prefill or decode.")
  var pool: String?

  @Option(help: "How the summary is printed: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let plan = try Plan.load(plan)
      let pool = try poolIndex(in: plan)
      let views = [timeline, graph != nil, rank != nil, ops].filter { $0 }.count
      for (isWrong, reason) in [
        (output != nil && !timeline, "'-o' says where '--timeline' goes, which is not given"),
        (
          function != nil && !timeline && graph == nil,
          "'--function' is of '--graph' and '--timeline', and neither is given"
        ),
        (views > 1, "'--rank', '--ops', '--graph' and '--timeline' are shown one at a time"),
        (
          views > 0 && format == .json,
          "'--format json' is of the summary, shown without '--rank' and others"
        ),
        (
          self.pool != nil && (views == 0 || ops),
          "'--pool' is of '--rank', '--graph' and '--timeline', and none is given"
        ),
      ] where isWrong { throw Diagnostics("flag", reason) }
      if timeline {
        try drawTimeline(plan, pool: pool)
      } else if let graph {
        try draw(plan, pool: pool, to: graph)
      } else if let rank {
        guard let listing = RankListing(plan, pool: pool, rank: rank) else {
          throw Diagnostics(
            "flag", "'--rank \(rank)'; the pool has ranks 0 to \(plan.pools[pool].mesh.ranks - 1)")
        }
        Terminal.print(listing.text(width: Terminal.width, colour: Terminal.takesColour))
      } else if ops {
        Terminal.print(OpListing(plan).text)
      } else {
        try Report.print(plan, format: format)
      }
    }
  }

  private func poolIndex(in plan: Plan) throws(Diagnostics) -> Int {
    guard let pool else { return 0 }
    if let index = plan.pools.firstIndex(where: { $0.role.rawValue == pool }) { return index }
    throw PlanFlags.unknown("--pool", pool, plan.pools.map(\.role.rawValue))
  }

  private func drawTimeline(_ plan: Plan, pool: Int) throws(Diagnostics) {
    guard let path = output else {
      throw Diagnostics("flag", "'--timeline' wants a file; add '-o layer.svg' or '-o layer.json'")
    }
    if path != "-" && !path.hasSuffix(".svg") && !path.hasSuffix(".json") {
      throw Diagnostics("flag", "'-o \(path)'; the file ends with .svg or .json, or is '-'")
    }
    guard let timeline = PlanTimeline(plan, pool: pool, function: function) else {
      let names = plan.pools[pool].functions.filter { $0.schedule != nil }.map(\.function.name)
      if let function, !names.isEmpty { throw PlanFlags.unknown("--function", function, names) }
      throw Diagnostics(
        "no-schedule",
        "no layer of the \(plan.pools[pool].role.rawValue) pool has a schedule; compile with "
          + "'--overlap auto', or with '--overlap 2' where that finds none worth it")
    }
    do {
      let bytes =
        path.hasSuffix(".json")
        ? try timeline.trace.jsonValue.serialized(style: .pretty) : Array(timeline.svg.utf8)
      try Terminal.save(bytes, to: path)
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("timeline", "\(error)")
    }
    if path != "-" { Terminal.print("wrote \(path)\n") }
  }

  private func draw(_ plan: Plan, pool: Int, to path: String) throws(Diagnostics) {
    guard let graph = PlanGraph(plan, pool: pool, function: function) else {
      throw PlanFlags.unknown(
        "--function", function ?? "", plan.pools[pool].functions.map(\.function.name))
    }
    if path != "-" && !path.hasSuffix(".svg") && !path.hasSuffix(".dot") {
      throw Diagnostics("flag", "'--graph \(path)'; the file ends with .svg or .dot, or is '-'")
    }
    let text = path.hasSuffix(".svg") ? graph.svg : graph.dot
    try Terminal.save(Array(text.utf8), to: path)
    if path != "-" { Terminal.print("wrote \(path)\n") }
  }
}
