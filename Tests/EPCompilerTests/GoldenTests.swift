import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Foundation
import Testing

@testable import EPCompiler

/// What a pass makes of a function, on two tensor ranks: `Goldens/<pass>/*.txt` hold the function
/// before, `---`, and the function after. `EPC_UPDATE_GOLDENS=1` writes the second part anew.
@Suite struct GoldenTests {
  @Test(arguments: ["shard", "plan-memory", "insert-waits"])
  func passMakesWhatItDid(pass: String) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Goldens/\(pass)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
    #expect(!names.isEmpty)
    for name in names {
      let file = folder.appending(path: name)
      let parts = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "---\n")
      let made = try run(pass, try Function(parsing: parts[0]))
      if testCount("EPC_UPDATE_GOLDENS", default: 0) == 1 {
        try (parts[0] + "---\n" + made.text).write(to: file, atomically: true, encoding: .utf8)
        continue
      }
      let expected = try #require(parts.count == 2 ? parts[1] : nil, "\(name) has no second part")
      #expect(try Function(parsing: expected) == made.function, "\(name):\n\(made.text)")
      #expect(notes(expected) == notes(made.text), "\(name):\n\(made.text)")
    }
  }

  private func run(_ pass: String, _ function: Function) throws -> ShardedFunction {
    let mesh = Mesh(tp: 2)
    var sharder = FunctionSharder(
      function, mesh: mesh, slotsPerRank: 0, algorithm: "local", scoresAllTokens: false)
    var sharded = try sharder.run()
    if pass == "shard" { return sharded }
    var pool = Pool(
      role: .unified, firstRank: 0, mesh: mesh,
      load: Pool.Load(sequences: 1, tokens: 64, context: 64), activations: .bf16)
    sharded.streams = sharded.function.operations.map {
      $0.kind.isCollective ? .communication : .compute
    }
    pool.functions = [sharded]
    sharded.buffers = Compiler.pack(sharded, in: pool)
    if pass == "plan-memory" { return sharded }
    Compiler.insertWaits(&sharded)
    return sharded
  }

  /// Streams, waits and places, which stand in comments.
  private func notes(_ text: String) -> [Substring] {
    text.split(separator: "\n").compactMap { line in
      line.range(of: "// ").map { line[$0.upperBound...] }
    }
  }
}
