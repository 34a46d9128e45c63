import Glibc
import Testing

@testable import EPCheckpoint

@Suite struct WriterTests {
  @Test func whatIsWrittenReadsBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/o.safetensors"
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    try writer.add("z", shape: [2, 2], [1, -2, .infinity, 0.1] as [Float])
    try writer.add("a", shape: [3], [1, -1, .max] as [Int32])
    try writer.add("m\u{e9}\"", shape: [], [.min] as [Int64])
    try writer.add("empty", shape: [0, 7], [Float]())
    try writer.write(to: path)
    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.tensors.count == 4)
    #expect(try checkpoint.integers("a") == [1, -1, Int64(Int32.max)])
    #expect(try checkpoint.integers("m\u{e9}\"") == [.min])
    let shape = WeightShape([2, 2])
    #expect(
      try checkpoint.resolve(StoredTensor("z"), as: shape).values(shape.all)
        == [1, -2, .infinity, 0.1])
    #expect(checkpoint.tensors["empty"]?.shape == [0, 7])
    #expect(checkpoint.tensors.values.map(\.bytes.lowerBound).min().map { $0 % 8 } == 0)
  }

  @Test func theOrderOfAddingDoesNotMatter() throws {
    let folder = try TemporaryFolder()
    var files: [[UInt8]] = []
    for names in [["b", "a", "c"], ["c", "b", "a"]] {
      var writer = SafetensorsWriter(metadata: ["y": "1", "x": "2"])
      for name in names { try writer.add(name, shape: [1], [Float(name.utf8.count)]) }
      try writer.write(to: folder.path + "/o.safetensors")
      let file = try OpenFile(path: folder.path + "/o.safetensors")
      files.append(try file.bytes(0..<file.byteCount))
    }
    #expect(files[0] == files[1])
    let header = String(decoding: files[0].dropFirst(8).dropLast(12), as: UTF8.self)
    #expect(header.hasPrefix(#"{"__metadata__":{"x":"2","y":"1"},"a":{"dtype":"F32","shape":[1]"#))
  }

  @Test func wrongTensorsAreRefused() throws {
    var writer = SafetensorsWriter()
    try writer.add("a", shape: [1], [1 as Float])
    #expect(throws: CheckpointError.duplicateOutput(tensor: "a")) {
      try writer.add("a", shape: [1], [1 as Int32])
    }
    #expect(throws: CheckpointError.valueCount(tensor: "b", shape: [2], values: 1)) {
      try writer.add("b", shape: [2], [1 as Float])
    }
    #expect(throws: CheckpointError.valueCount(tensor: "b", shape: [-1], values: 1)) {
      try writer.add("b", shape: [-1], [1 as Float])
    }
    #expect(throws: CheckpointError.reservedName(tensor: "__metadata__")) {
      try writer.add("__metadata__", shape: [1], [1 as Float])
    }
  }

  @Test func aFailureLeavesTheOldFileAndNothingElse() throws {
    let folder = try TemporaryFolder()
    var writer = SafetensorsWriter()
    try writer.add("a", shape: [1], [1 as Float])
    #expect(throws: CheckpointError.self) {
      try writer.write(to: folder.path + "/no/o.safetensors")
    }
    // A folder of that name cannot be replaced by a file; the temporary one must go.
    #expect(throws: CheckpointError.self) { try writer.write(to: folder.path) }
    #expect(try temporaryFiles(beside: folder.path).isEmpty)
  }

  @Test func whatCannotBeFinishedIsRemoved() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/weights"
    let writer = CheckpointWriter(
      ["a", "b", "c"].map { CheckpointWriter.Tensor($0, shape: [4]) }, format: .fp32, shardBytes: 16
    )
    // A folder of the second file's name cannot be replaced by it: the first is whole by then.
    let second = path + "/model-00002-of-00003.safetensors"
    #expect(throws: CheckpointError.self) {
      try writer.write(to: path) { tensor, _, _ in
        guard tensor == 1 else { return }
        #expect(unsafe mkdir(second, 0o755) == 0)
        // Should the process end now, no part of a file stays.
        do { #expect(try temporaryFiles(beside: second).isEmpty) } catch { Issue.record(error) }
      }
    }
    #expect(unsafe access(path + "/model-00001-of-00003.safetensors", F_OK) != 0)
    #expect(try temporaryFiles(beside: second).isEmpty)
    #expect(unsafe rmdir(second) == 0)
    #expect(unsafe rmdir(path) == 0)
    try writer.write(to: path) { tensor, _, values in values = [1, 2, 3, Float(tensor)] }
    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.tensors.count == 3)
    #expect(throws: CheckpointError.existingCheckpoint(folder: path)) {
      try writer.write(to: path) { _, _, _ in }
    }
    for name in ["model.safetensors.index.json"] + checkpoint.tensors.values.map(\.file) {
      unsafe _ = unlink("\(path)/\(name)")
    }
    unsafe _ = rmdir(path)
  }
}
