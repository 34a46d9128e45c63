internal import EPCost
internal import EPIR
internal import EPPlan

extension CompileRequest.PoolRequest {
  /// Sequences for each device where none are asked for and memory allows.
  var usualBatch: Int { role == .decode ? 64 : 16 }

  /// Tokens of prompts for each device where none are asked for and memory allows.
  var usualTokens: Int { role == .prefill ? 8192 : 2048 }

  /// Whether the compiler chooses how many sequences decode.
  fileprivate var leavesBatch: Bool {
    role != .prefill && batch == nil && groupSequences == nil
  }

  /// Whether the compiler chooses how many tokens of prompts a step has.
  fileprivate var leavesTokens: Bool {
    role != .decode && tokensPerDevice == nil && groupTokens == nil
  }

  /// The request on a mesh with so many parts of the usual load, where the load is the compiler's to
  /// choose.
  fileprivate func scaled(
    to share: Int, of parts: Int, on mesh: Mesh
  ) -> CompileRequest.PoolRequest {
    var scaled = self
    (scaled.pp, scaled.dp, scaled.tp, scaled.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
    if leavesBatch { scaled.batch = max(usualBatch * share / parts, 1) }
    if leavesTokens { scaled.tokensPerDevice = max(usualTokens * share / parts, 1) }
    return scaled
  }
}

extension Compilation {
  /// The parts that usual loads are divided in.
  private static let parts = 64

  /// The same with the largest loads that fit the meshes chosen, of pools whose load was not asked
  /// for; nil where there are none such, or no load fits.
  func withFittingLoads() -> Compilation? {
    guard let meshes = chosenMeshes else { return nil }
    var fitting = self
    var best: Compilation?
    // Two pools have devices of their own, so that one does not matter to the other's memory.
    for index in request.pools.indices {
      let asked = request.pools[index]
      if !asked.leavesBatch && !asked.leavesTokens { continue }
      func trial(_ share: Int) -> Compilation {
        var trial = fitting
        trial.request.pools[index] = asked.scaled(
          to: share, of: Compilation.parts, on: meshes[index])
        for other in request.pools.indices where other > index {
          trial.request.pools[other] = request.pools[other].scaled(
            to: 1, of: Compilation.parts, on: meshes[other])
        }
        return trial
      }
      func fits(_ share: Int) -> Bool {
        var trial = trial(share)
        // What is cut into micro-batches is cut only as far as that fits.
        trial.request.overlap = .none
        return Compiler.fits(&trial)
      }
      if !fits(1) { return nil }
      var (low, high) = (1, Compilation.parts + 1)
      while high - low > 1 {
        let middle = (low + high) / 2
        if fits(middle) { low = middle } else { high = middle }
      }
      let found = trial(low).request.pools[index]
      fitting.request.pools[index] = found
      if low < Compilation.parts {
        fitting.decisions.append(Compilation.sentence(found, meshes[index]))
      }
      best = fitting
    }
    return best
  }

  /// The meshes for the usual loads.
  private var chosenMeshes: [Mesh]? {
    var chosen = self
    for pass in Compiler.passes where chosen.pools.isEmpty {
      do { try pass.run(&chosen) } catch { return nil }
    }
    return chosen.pools.count == request.pools.count ? chosen.pools.map(\.mesh) : nil
  }

  private static func sentence(_ pool: CompileRequest.PoolRequest, _ mesh: Mesh) -> String {
    let load =
      (pool.batch.map { ["\($0) sequences"] } ?? [])
      + (pool.tokensPerDevice.map { ["\($0) tokens a step"] } ?? [])
    return
      "\(pool.role.rawValue): \(mesh); \(load.joined(separator: " and ")) for each device, the most "
      + "that fits"
  }
}
