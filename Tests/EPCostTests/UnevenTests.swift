import EPCompiler
import EPModel
import EPPlan
import EPSchedule
import Testing

@testable import EPCost

/// Micro-batches of unequal size.
@Suite struct UnevenTests {
  /// DeepSeek-V3's layers with experts. At 2,000 tokens of context the way through one micro-batch
  /// is nearly as long as what two keep a stream busy.
  private func layers(_ batch: Int, context: Int) throws -> (StepEstimator, function: Int) {
    let model = try Repository.model("h800")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 128), ep: 128, batch: batch,
      context: context)
    let function = plan.pools[0].functions.firstIndex {
      $0.function.operations.contains { $0.kind == .dispatch }
    }
    return (
      StepEstimator(plan.pools[0], precision: .fp8, model: model), try #require(function)
    )
  }

  /// The jobs of one micro-batch by themselves.
  private func part(_ batch: Int, of body: LoopBody) -> LoopBody {
    var part = LoopBody(resources: body.resources)
    var place: [Int: Int] = [:]
    for (number, job) in body.jobs.enumerated() where job.batch == batch {
      place[number] = part.add(job)
    }
    for dependency in body.dependencies {
      guard let from = place[dependency.from], let to = place[dependency.to] else { continue }
      part.add(
        LoopBody.Dependency(
          from: from, to: to, delay: dependency.delay, distance: dependency.distance))
    }
    return part
  }

  @Test(arguments: [(128, 4096, 2), (256, 2000, 2), (256, 2000, 3)])
  func boundIsOfStreamsAndOfTheLargerPart(batch: Int, context: Int, count: Int) throws {
    let (estimator, function) = try layers(batch, context: context)
    var bounds: [Int] = []
    for difference in StepEstimator.unevenness {
      let body = try #require(
        estimator.unevenBody(
          of: function, by: difference, microBatches: count, multiprocessors: nil))
      let parts = (0..<count).map { part($0, of: body) }
      #expect(zip(parts, parts.dropFirst()).allSatisfy { $0.serial < $1.serial })
      let way = try #require(parts[count - 1].bounds).recurrence
      let busy = (0..<body.resources).map { resource in
        parts.reduce(0) { $0 + $1.busy(resource) }
      }
      bounds.append(max(way, busy.max() ?? 0))
      #expect(
        estimator.leastPeriod(
          ofUneven: function, microBatches: count, multiprocessors: nil, by: [difference])
          == bounds.last)
    }
    #expect(
      estimator.leastPeriod(ofUneven: function, microBatches: count, multiprocessors: nil)
        == bounds.min())
    // Where the larger part decides, no stream is busy so long.
    let isLong = batch == 256 && count == 2
    #expect((bounds.last ?? 0 > (bounds.min() ?? 0) * 11 / 10) == isLong)
  }
}
