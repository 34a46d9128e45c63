import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

@testable import EPReport

@Suite struct GraphTests {
  static let meshes = [
    Mesh(), Mesh(tp: 2), Mesh(dp: 4, ep: 4), Mesh(dp: 2, tp: 2, ep: 4),
    Mesh(pp: 2, dp: 2, tp: 4, ep: 2),
  ]

  /// Pictures of all functions of a plan.
  func graphs(_ plan: Plan) -> [PlanGraph] {
    plan.pools.indices.flatMap { pool in
      plan.pools[pool].functions.compactMap {
        PlanGraph(plan, pool: pool, function: $0.function.name)
      }
    }
  }

  @Test(arguments: meshes) func nodesLieInsideTheCanvasAndApart(mesh: Mesh) throws {
    let models = [SampleModels.tinyDeepSeek()] + (mesh.ep == 1 ? [mixedAttention()] : [])
    for graph in try models.flatMap({ graphs(try compile($0, [(.unified, mesh)])) }) {
      let layout = GraphLayout(graph, minimumWidth: 300, footer: 64)
      let canvas = GraphLayout.Box(x: 0, y: 0, width: layout.size.width, height: layout.size.height)
      for (index, box) in layout.boxes.enumerated() {
        #expect(canvas.contains(box), "\(graph.title) \(index)")
        for other in layout.boxes[(index + 1)...] { #expect(!box.overlaps(other)) }
      }
      let labels = layout.labels.map {
        GraphLayout.Box(x: $0.x - $0.width / 2, y: $0.y - 9, width: $0.width, height: 12)
      }
      for (index, label) in labels.enumerated() {
        #expect(canvas.contains(label))
        for box in layout.boxes { #expect(!box.overlaps(label)) }
        for other in labels[(index + 1)...] { #expect(!label.overlaps(other)) }
      }
      for cluster in layout.clusters { #expect(canvas.contains(cluster.box)) }
    }
  }

  @Test(arguments: meshes) func theCommunicationStreamHasALaneOfItsOwn(mesh: Mesh) throws {
    for graph in graphs(try compile(SampleModels.tinyDeepSeek(), [(.unified, mesh)])) {
      let layout = GraphLayout(graph, minimumWidth: 300, footer: 64)
      let isUsed = graph.nodes.contains { $0.stream == .communication }
      #expect((layout.lane != nil) == isUsed)
      guard let lane = layout.lane else { continue }
      for (node, box) in zip(graph.nodes, layout.boxes) {
        #expect(lane.overlaps(box) == (node.stream == .communication))
        #expect(lane.contains(box) == (node.stream == .communication))
      }
    }
  }

  @Test func edgesGoDown() throws {
    for graph in graphs(
      try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 2, tp: 2, ep: 4))]))
    {
      let layout = GraphLayout(graph, minimumWidth: 300, footer: 64)
      for edge in graph.edges {
        #expect(layout.boxes[edge.from].bottom < layout.boxes[edge.to].y)
      }
      for stretch in layout.stretches { #expect(stretch.from.y < stretch.to.y) }
    }
  }

  @Test func everyOperationIsANodeAndEveryReadAnEdge() throws {
    let plan = try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 4, ep: 4))])
    let graph = try #require(PlanGraph(plan))
    let function = try #require(
      plan.pools[0].functions.first { graph.title.contains(": \($0.function.name),") }
    ).function
    #expect(graph.nodes.compactMap(\.operation) == Array(function.operations.indices))
    let reads = function.operations.flatMap(\.operands).filter {
      if case .value = $0.reference { true } else { false }
    }
    #expect(graph.edges.count == reads.count + function.results.count)
    #expect(graph.nodes.contains { $0.title == "dispatch" && $0.stream == .communication })
  }

  @Test func theFunctionOfMostLayersIsTheDefault() throws {
    let plan = try compile(deepSeekV3(), [(.decode, Mesh(dp: 144, ep: 144))])
    let graph = try #require(PlanGraph(plan))
    #expect(graph.title == "DeepSeek-V3, decode: layer3, layers 3-60")
    #expect(GraphLayout(graph, minimumWidth: 0, footer: 0).size.width < 1600)
    #expect(PlanGraph(plan, function: "none") == nil)
    #expect(PlanGraph(plan, pool: 1) == nil)
  }

  @Test func frameHoldsAttention() throws {
    let plan = try compile(deepSeekV3(), [(.decode, Mesh(dp: 144, ep: 144))])
    let layout = GraphLayout(try #require(PlanGraph(plan)), minimumWidth: 0, footer: 0)
    #expect(layout.clusters.map(\.name).contains("self_attn"))
    #expect(layout.clusters.map(\.name).contains("mlp"))
  }

  @Test func dotNamesEveryNodeOnceAndClosesItsBraces() throws {
    for graph in graphs(
      try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 2, tp: 2, ep: 4))]))
    {
      let dot = graph.dot
      let lines = dot.split(separator: "\n").map { $0.drop { $0 == " " } }
      for index in graph.nodes.indices {
        #expect(lines.count { $0.hasPrefix("n\(index) [") } == 1)
      }
      #expect(unquoted(dot).split(separator: " -> ").count == graph.edges.count + 1)
      let bare = unquoted(dot)
      #expect(bare.count { $0 == "{" } == bare.count { $0 == "}" })
      #expect(bare.count { $0 == "[" } == bare.count { $0 == "]" })
    }
  }

  @Test(arguments: meshes) func svgIsWellFormed(mesh: Mesh) throws {
    for graph in graphs(try compile(SampleModels.tinyDeepSeek(), [(.unified, mesh)])) {
      #expect(tagProblem(graph.svg) == nil)
      #expect(graph.svg.contains("viewBox"))
    }
  }

  @Test func theSamePlanGivesTheSameBytes() throws {
    func make() throws -> [String] {
      graphs(try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 2, tp: 2, ep: 4))]))
        .flatMap { [$0.dot, $0.svg] }
    }
    let first = try make()
    for _ in 0..<3 { #expect(try make() == first) }
  }
}
