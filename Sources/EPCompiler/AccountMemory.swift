internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Adds up what the ranks of each stage hold, and refuses what does not fit, with the table and
  /// the nearest change that would.
  @Sendable static func accountMemory(_ compilation: inout Compilation) throws(Diagnostics) {
    let usable = Int(
      Double(compilation.cluster.hardware.memoryBytes) * compilation.cluster.usableFraction)
    for index in compilation.pools.indices {
      let pool = compilation.pools[index]
      let tables = pool.stages.indices.map {
        pool.memoryTable(ofStage: $0, precision: compilation.program.precision)
      }
      compilation.pools[index].memory = tables
      if !compilation.cluster.unlike.isEmpty {
        try requireUnlikeFits(compilation, compilation.pools[index])
        continue
      }
      guard let fullest = tables.max(by: { $0.total < $1.total }), fullest.total > usable else {
        continue
      }
      let parts = fullest.parts.map { "\($0.name) \(gibibytes($0.bytes))" }
      let fix = nearestFit(compilation, pool: index)
      throw Diagnostics(
        "memory",
        "the \(pool.role.rawValue) pool (\(pool.mesh)) needs \(gibibytes(fullest.total)) on a "
          + "device and \(compilation.cluster.hardware.name) has \(gibibytes(usable)) usable: "
          + parts.joined(separator: ", ") + "; " + fix)
    }
  }

  static func gibibytes(_ bytes: Int) -> String {
    let hundredths = Int(saturating: (Double(bytes) / Double(1 << 30) * 100).rounded())
    let digits = String(hundredths % 100)
    return "\(hundredths / 100).\(digits.count < 2 ? "0" : "")\(digits) GiB"
  }

  /// The smallest change of one size with which the same request fits, found by trying.
  private static func nearestFit(_ compilation: Compilation, pool index: Int) -> String {
    let pool = compilation.pools[index]
    let group = pool.mesh.tp * pool.mesh.pp
    var tries: [(String, (inout CompileRequest) -> Void)] = []
    if pool.role == .decode {
      var batch = max(pool.load.sequences / group, 1) / 2
      while batch >= 1 {
        let size = batch
        tries.append(("'--batch \(size)'", { $0.pools[index].batch = size }))
        batch /= 2
      }
    } else {
      var tokens = max(pool.load.tokens / group, 1) / 2
      while tokens >= 256 {
        let size = tokens
        tries.append(("'--tokens-per-gpu \(size)'", { $0.pools[index].tokensPerDevice = size }))
        tokens /= 2
      }
    }
    for factor in [2, 4, 8, 16] {
      let tp = pool.mesh.tp * factor
      if tp > pool.mesh.stageRanks || compilation.request.pools.count > 1 { continue }
      tries.append(
        (
          "'--tp \(tp)'",
          {
            $0.pools[index].tp = tp
            $0.pools[index].dp = nil
          }
        ))
    }
    for factor in [2, 4, 8, 16] {
      let devices = compilation.cluster.devices * factor
      tries.append(
        (
          "a cluster of \(devices) devices",
          {
            $0.cluster = $0.cluster.map { Cluster($0.hardware, devices: devices) }
            $0.pools[index].ep = nil
            $0.pools[index].dp = nil
          }
        ))
    }
    for (name, change) in tries {
      var request = compilation.request
      if request.cluster == nil { request.cluster = compilation.cluster }
      change(&request)
      var again = Compilation(compilation.program, request)
      again.request.drafts = nil
      again.request.precision = nil
      if fits(&again) { return "\(name) fits" }
    }
    return "no smaller batch, larger tp or cluster of up to 16 times the devices fits"
  }

  /// Runs the passes and says whether what comes out fits.
  static func fits(_ compilation: inout Compilation) -> Bool {
    for pass in passes where pass.name != "account-memory" {
      do { try pass.run(&compilation) } catch { return false }
    }
    let usable = Int(
      Double(compilation.cluster.hardware.memoryBytes) * compilation.cluster.usableFraction)
    return compilation.pools.allSatisfy { pool in
      !compilation.cluster.unlike.isEmpty
        || pool.stages.indices.allSatisfy {
          pool.memoryTable(ofStage: $0, precision: compilation.program.precision).total <= usable
        }
    }
  }
}
