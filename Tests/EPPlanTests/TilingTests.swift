import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// What ranks hold together, counted element by element.
@Suite struct TilingTests {
  @Test func partsTileAnAxis() {
    for size in 1...24 {
      for parts in 1...24 {
        let ranges = (0..<parts).map { WeightSharding.part(of: size, over: parts, at: $0) }
        if size % parts != 0 && parts % size != 0 {
          #expect(ranges.allSatisfy { $0 == nil })
          continue
        }
        var holders = Array(repeating: 0, count: size)
        for range in ranges { for element in range ?? 0..<0 { holders[element] += 1 } }
        #expect(holders.allSatisfy { $0 == max(parts / size, 1) }, "\(size) over \(parts)")
        #expect(
          ranges.compactMap { $0?.lowerBound } == ranges.compactMap { $0?.lowerBound }.sorted())
      }
    }
    #expect(WeightSharding.part(of: 4, over: 0, at: 0) == nil)
  }

  @Test func ranksHoldEveryWeightAsOftenAsTheyShould() throws {
    for (name, plan) in try SamplePlans.all()
    where name.contains("latent") || name.contains("grouped") {
      for pool in plan.pools.indices { try check(plan, pool, name) }
    }
  }

  private struct Key: Hashable {
    var name: String
    var expert: Int
    var stage: Int
  }

  private func check(_ plan: Plan, _ index: Int, _ name: String) throws {
    let pool = plan.pools[index]
    let mesh = pool.mesh
    var held: [Key: [Int]] = [:]
    var expected: [Key: Int] = [:]
    for rank in 0..<mesh.ranks {
      let program = plan.instantiate(rank: rank, of: index)
      var own: Set<Key> = []
      for call in program.calls {
        for slice in call.weights where slice.isUsed {
          // Rows of the first axis that can be split; experts stand for the first one.
          let hasExperts = slice.axes.first?.split == .expert
          let elements = slice.axes.dropFirst(hasExperts ? 1 : 0).reduce(1) { $0 * ($1.size ?? 1) }
          for expert in hasExperts ? slice.experts ?? [] : [-1] {
            let key = Key(
              name: "\(call.layer) \(slice.name)", expert: expert,
              stage: program.coordinates.stage)
            if !own.insert(key).inserted { continue }
            // Slices are boxes: their corners and a few elements more stand for all.
            let sample =
              stride(from: 0, to: elements, by: max(elements / 13, 1)).map { $0 }
              + [elements - 1]
            var counts = held[key] ?? Array(repeating: 0, count: sample.count)
            for (index, element) in sample.enumerated()
            where contains(slice, element, hasExperts) { counts[index] += 1 }
            held[key] = counts
            let replicas = hasExperts ? call.placement?.replicas[expert].count ?? 0 : 1
            expected[key] = times(slice, mesh, replicas: replicas, call, program.functions)
          }
        }
      }
    }
    for (key, counts) in held {
      let times = expected[key] ?? 0
      #expect(
        counts.allSatisfy { $0 == times }, "\(name): \(key) \(counts.max() ?? 0), not \(times)")
    }
  }

  private func contains(_ slice: WeightSlice, _ element: Int, _ hasExperts: Bool) -> Bool {
    var rest = element
    for (axis, range) in zip(slice.axes, slice.ranges).dropFirst(hasExperts ? 1 : 0).reversed() {
      let size = axis.size ?? 1
      if !range.contains(rest % size) { return false }
      rest /= size
    }
    return true
  }

  /// How many ranks of a stage should hold each element of a weight, from the mesh alone.
  private func times(
    _ slice: WeightSlice, _ mesh: Mesh, replicas: Int, _ call: RankProgram.Call,
    _ functions: [ShardedFunction]
  ) -> Int {
    let number = functions[call.function].function.weights.firstIndex {
      $0.name.replacing("{layer}", with: "\(call.layer)") == slice.name
    }
    let sharding = number.map { functions[call.function].sharding[$0] }
    if sharding?.isFirstOnly == true {
      return slice.experts == nil ? mesh.dp : mesh.dp / mesh.ep * replicas
    }
    let copies = sharding?.tensorAxis.map { max(mesh.tp / (slice.axes[$0].size ?? 1), 1) }
    if slice.experts == nil { return mesh.dp * (copies ?? mesh.tp) }
    let groups = mesh.ep % mesh.tp == 0 ? mesh.dp * mesh.tp / mesh.ep : mesh.dp / mesh.ep
    return groups * replicas * (mesh.ep % mesh.tp == 0 ? 1 : copies ?? mesh.tp)
  }

  @Test func streamsRunInOrderAndWaitsJoinThem() {
    var function = ShardedFunction(Function("f"), sharding: [], cacheParts: [])
    function.streams = [.compute, .communication, .compute, .communication, .compute]
    function.waits = [[], [0], [], [], [1]]
    let order = StreamOrder(function)
    #expect(order.runs(0, before: 1) && order.runs(0, before: 2) && order.runs(1, before: 3))
    #expect(order.runs(1, before: 4) && order.runs(0, before: 3))
    #expect(!order.runs(1, before: 2) && !order.runs(3, before: 4) && !order.runs(2, before: 3))
  }

  @Test func layersSurviveText() throws {
    for layers in [[0], [0, 1, 2], [0, 2, 3, 7], Array(3..<61)] {
      #expect(try ModelProgram.Call.layers(parsing: ModelProgram.Call.text(of: layers)) == layers)
    }
    for text in ["", "-1", "3-1", "1,1", "2,1", "0-100000", "a", "1-2-3", "99999999999999999999"] {
      #expect(throws: OpError.self) { try ModelProgram.Call.layers(parsing: text) }
    }
  }

  @Test func handoverCountsEveryByteOfACache() throws {
    let plan = try SamplePlans.plan(
      SampleModels.groupedQueries,
      [(.prefill, Mesh(dp: 1, tp: 2, ep: 2)), (.decode, Mesh(dp: 4, ep: 4))])
    let handover = try #require(plan.handover)
    // 4 layers, keys and values of 2 heads of 16 elements in bf16.
    #expect(handover.bytes(context: 1) == 4 * 2 * 2 * 16 * 2)
    #expect(handover.bytes(context: 10) == 10 * handover.bytes(context: 1))
    #expect(handover.bytes(context: .max) == .max)
    #expect(handover.transfers.allSatisfy { $0.sendParts == 2 && $0.receiveParts == 1 })
  }
}
