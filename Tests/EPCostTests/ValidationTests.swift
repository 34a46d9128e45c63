import EPCompiler
import EPCost
import EPModel
import EPPlan
import Testing

@Suite struct ValidationTests {
  @Test func decodeLayer() throws {
    print(try Repository.calibration.get().report)
    let model = try Repository.model("h800")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 128), ep: 128, batch: 128)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.step = StepShape(isPrefill: false, sequences: 128, tokens: 256, context: 4096)
    estimator.microBatches = 2
    print(estimator.estimate().explanation)
  }
  @Test func prefillLayer() throws {
    let model = try Repository.model("h800")
    let plan = try compiledV3(
      .prefill, cluster: Cluster(model.hardware, devices: 32), ep: 32, tokens: 16384)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.microBatches = 2
    print(estimator.estimate().explanation)
  }
}
