import EPBackend
import EPBackendCPU
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPPlugin
import EPRuntime

// A plan beside the unsharded model.
extension ExecCommand {
  /// Compares with the kernels of a library beside the device's and the reference's, if one is given.
  func compareExtended<D: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?
  ) throws(Diagnostics) {
    guard let library = try kernelLibrary() else {
      return try compare(plan, source, request, device, memory, against: ReferenceDevice())
    }
    try compare(
      plan, source, request, ExtendedDevice(device, library: library), memory,
      against: ExtendedDevice(ReferenceDevice(), library: library))
  }

  /// Runs the plan beside an unsharded one of the same model on reference kernels.
  private func compare<D: Device, R: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?, against reference: R
  ) throws(Diagnostics) {
    let single = try unsharded(plan)
    let comparison: Comparison
    do throws(ExecutionError) {
      let stores: (WeightStore, WeightStore)
      do throws(WeightError) {
        stores = (
          try WeightStore(source, for: plan, memory: memory), try WeightStore(source, for: single)
        )
      } catch { throw .weights(error) }
      comparison = try Comparison.run(
        try PlanSession(plan, weights: stores.0, device: device),
        against: try PlanSession(single, weights: stores.1, device: reference), request,
        bound: bound)
    } catch { throw Diagnostics("exec", error.description) }
    Terminal.print(comparison.text)
    if comparison.first != nil {
      throw Diagnostics("check", "the plan does not make what the unsharded model makes")
    }
  }

  /// The same model on one rank, with room for as much as any data group of the plan works on.
  private func unsharded(_ plan: Plan) throws(Diagnostics) -> Plan {
    let program: ModelProgram
    do { program = try plan.program() } catch { throw Diagnostics("check", error.description) }
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    var hardware = try catalog.hardware(named: "h200")
    hardware.memoryBytes = 1 << 50
    var pool = CompileRequest.PoolRequest(.unified)
    (pool.pp, pool.dp, pool.tp, pool.ep) = (1, 1, 1, 1)
    pool.batch = plan.pools.map(\.load.sequences).max()
    pool.tokensPerDevice = plan.pools.map(\.load.tokens).max()
    pool.samples = pool.tokensPerDevice
    var request = CompileRequest(hardware: hardware, pools: [pool])
    request.cluster = Cluster(hardware, devices: 1)
    request.activations = plan.pools[0].activations
    return try Compiler.compile(Compilation(program, request))
  }
}
