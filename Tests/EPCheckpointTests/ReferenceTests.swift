import Glibc
import Testing

@testable import EPCheckpoint

/// The folder of reference checkpoints, if `EPC_REFS` names one.
private let references: String? = unsafe getenv("EPC_REFS").map { unsafe String(cString: $0) }

private func files(below path: String) -> [String] {
  guard let folder = unsafe opendir(path) else { return [] }
  defer { unsafe _ = closedir(folder) }
  return unsafe names(in: folder).flatMap { name in
    ["\(path)/\(name)"] + files(below: "\(path)/\(name)")
  }
}

@Suite(.enabled(if: references != nil, "needs EPC_REFS, a folder of reference checkpoints"))
struct ReferenceTests {
  @Test func everyReferenceOpensAndIsFinite() throws {
    var folders = 0
    for config in files(below: references ?? "") where config.hasSuffix("/config.json") {
      let checkpoint = try Checkpoint.open(String(config.dropLast("/config.json".count)))
      folders += 1
      for tensor in checkpoint.tensors.values where tensor.type.conversion != nil {
        let shape = WeightShape(tensor.shape)
        let weight = try checkpoint.resolve(StoredTensor(tensor.name), as: shape)
        #expect(try weight.firstNonFinite(in: shape.all) == nil, "\(tensor.name) in \(config)")
      }
      for name in checkpoint.tensors.keys where name.hasSuffix("_blocks") {
        let blocks = try #require(checkpoint.tensors[name])
        let shape = WeightShape(
          experts: blocks.shape[0], [blocks.shape[1], blocks.shape[2] * 32])
        let weight = try checkpoint.resolve(StoredTensor(String(name.dropLast(7))), as: shape)
        #expect(try weight.firstNonFinite(in: shape.all) == nil, "\(name) in \(config)")
      }
    }
    #expect(folders > 0)
  }

  @Test func everyReferenceOutputOpens() throws {
    for file in files(below: references ?? "") where file.hasSuffix("/reference.safetensors") {
      let checkpoint = try Checkpoint.open(file)
      #expect(try !checkpoint.integers("p0.input_ids").isEmpty)
    }
  }
}
