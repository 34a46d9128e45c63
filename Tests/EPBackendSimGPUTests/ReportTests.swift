import EPBackendSimGPU
import EPCost
import EPJSON
import EPModel
import EPPlan
import EPTestSupport
import Testing

@Suite struct ReportTests {
  private func simulation() throws -> ClusterSimulation {
    var options = SimulationOptions(
      steps: 3,
      routing: RoutingSource(.drawn, loads: try skewedLoads(layers: 0..<4, experts: 32), seed: 1))
    options.probes = [0, 15]
    options.keepsTraffic = true
    return try simulate(try widePlan(), options)
  }

  @Test func spansOfAStreamFollowEachOther() throws {
    for (name, plan) in try SamplePlans.all() {
      var options = SimulationOptions(steps: 2)
      options.probes = [0, 1, 3]
      options.probedSteps = 2
      for pool in try simulate(plan, options).pools {
        var ends: [[Int]: Ticks] = [:]
        for span in pool.outcome.spans {
          let key = [span.rank, span.stream.rawValue]
          #expect(span.start >= ends[key] ?? 0, "\(name): \(span)")
          #expect(span.end > span.start)
          ends[key] = span.end
        }
        let last = pool.outcome.spans.map(\.end).max() ?? 0
        #expect(last <= pool.outcome.elapsed, "\(name)")
      }
    }
  }

  @Test func tracesAreWhatPerfettoReads() throws {
    let simulation = try simulation()
    let root = JSONNode(try JSONValue.parse(bytes: Array(simulation.trace.utf8)))
    let events = try root["traceEvents"].array()
    let spans = try events.filter { try $0["ph"].string() == "X" }
    #expect(spans.count == simulation.pools[0].outcome.spans.count)
    let ranks = Set(try spans.map { try $0["pid"].int(in: 0...100) })
    #expect(ranks == [0, 15])
    for span in spans {
      #expect(try span["dur"].double(in: 0...1e9) > 0)
      _ = try span["args"]["layer"].int(in: -1...10)
    }
  }

  @Test func metricsCountWhatTheSimulationSays() throws {
    let simulation = try simulation()
    let lines = simulation.metrics.split(separator: "\n").map(String.init)
    func value(_ prefix: String) -> Double? {
      lines.first { $0.hasPrefix(prefix + " ") }?.split(separator: " ").last.flatMap { Double($0) }
    }
    let outcome = simulation.pools[0].outcome
    let dispatches = try #require(
      value("epc_sim_collective_seconds_count{pool=\"decode\",op=\"dispatch\"}"))
    // Steps, layers.
    #expect(dispatches == 3 * 4)
    #expect(
      value("epc_sim_collective_seconds_bucket{pool=\"decode\",op=\"dispatch\",le=\"+Inf\"}")
        == dispatches)
    #expect(
      value("epc_sim_balancedness{pool=\"decode\",layer=\"2\"}") == outcome.layers[2].balancedness)
    let memory = try #require(value("epc_sim_device_memory_bytes{pool=\"decode\",rank=\"15\"}"))
    #expect(memory == Double(simulation.memory[0].used(by: 15)))
    // Every sample belongs to the family declared last before it.
    var family = ""
    for line in lines {
      if line.hasPrefix("# TYPE ") { family = String(line.split(separator: " ")[2]) }
      if !line.hasPrefix("#") { #expect(line.hasPrefix(family), "\(line)") }
    }
  }

  @Test func pagesNeedNoNetworkAndCannotBeBrokenByNames() throws {
    var plan = try widePlan()
    plan.model.name = "</script><script>alert(1)</script>"
    var options = SimulationOptions(steps: 1)
    options.probes = [0]
    let page = try simulate(plan, options).page
    #expect(!page.contains("http"))
    #expect(page.split(separator: "<script>", omittingEmptySubsequences: false).count == 2)
    #expect(page.split(separator: "</script>", omittingEmptySubsequences: false).count == 2)
  }

  @Test func documentsHoldTheSummary() throws {
    let simulation = try simulation()
    let root = JSONNode(try JSONValue.parse(bytes: Array(simulation.document.json.utf8)))
    let pool = try root["pools"].array()[0]
    #expect(try pool["step_ns"].array().count == 3)
    #expect(try pool["balancedness"].double(in: 0...1) < 0.6)
    #expect(simulation.text.contains("balancedness"))
  }
}
