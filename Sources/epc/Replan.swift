import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan

extension Plan {
  /// The plan for the survivors of a pool that lost a data group: its experts are placed anew over
  /// those left, and its sequences are shared out among them.
  func withoutDataGroup(ofPool number: Int) throws(Diagnostics) -> Plan {
    let program: ModelProgram
    do { program = try self.program() } catch {
      throw Diagnostics("recover", error.description)
    }
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    var hardware = try catalog.hardware(named: cluster.device)
    hardware.memoryBytes = cluster.memoryBytes
    var requests: [CompileRequest.PoolRequest] = []
    for (index, pool) in pools.enumerated() {
      var request = CompileRequest.PoolRequest(pool.role)
      let mesh = pool.mesh
      let dp = index == number ? mesh.dp - 1 : mesh.dp
      (request.pp, request.dp, request.tp) = (mesh.pp, dp, mesh.tp)
      request.ep = Self.experts(mesh, dp: dp)
      let group = mesh.pp * mesh.tp
      let sequences = (pool.load.sequences * mesh.dp + dp - 1) / max(dp, 1)
      request.batch = (sequences + group - 1) / group
      if pool.role != .decode { request.tokensPerDevice = (pool.load.tokens + group - 1) / group }
      requests.append(request)
    }
    var request = CompileRequest(hardware: hardware, pools: requests)
    request.cluster = Cluster(hardware, devices: cluster.devices)
    request.context = pools[number].load.context
    request.activations = pools[number].activations
    request.drafts = pools[number].drafts.count
    return try Compiler.compile(Compilation(program, request))
  }

  /// As many expert ranks as before lie over one data group fewer: all ranks where all took part, or
  /// else the most that come out even.
  private static func experts(_ mesh: Mesh, dp: Int) -> Int {
    if mesh.holdsWholeExperts {
      let ranks = dp * mesh.tp
      if mesh.ep == mesh.stageRanks { return ranks }
      return stride(from: min(mesh.ep, ranks), to: 0, by: -1).first {
        ranks % $0 == 0 && $0 % mesh.tp == 0
      } ?? ranks
    }
    return stride(from: min(mesh.ep, dp), to: 0, by: -1).first { dp % $0 == 0 } ?? 1
  }
}
