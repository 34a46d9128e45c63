import Glibc
import Testing

@testable import EPCheckpoint

private let one = RawEntry("a", [2], [1, 2])
private let two = RawEntry("b", [1], [3])

private func index(_ places: [(String, String)]) -> String {
  let members = places.map { #""\#($0)":"\#($1)""# }.joined(separator: ",")
  return #"{"metadata":{"total_size":12},"weight_map":{\#(members)}}"#
}

private func message(_ folder: TemporaryFolder) -> String {
  do throws(CheckpointError) {
    _ = try Checkpoint.open(folder.path)
    return ""
  } catch {
    return error.description.replacing(folder.path, with: "")
  }
}

@Suite struct ShardTests {
  private func sharded(_ places: [(String, String)]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("1.safetensors", safetensors([one]))
    try folder.write("2.safetensors", safetensors([two]))
    try folder.write("model.safetensors.index.json", index(places))
    return folder
  }

  @Test func theShardsOfAnIndexAreOneCheckpoint() throws {
    let folder = try sharded([("a", "1.safetensors"), ("b", "2.safetensors")])
    let checkpoint = try Checkpoint.open(folder.path)
    #expect(checkpoint.tensors.keys.sorted() == ["a", "b"])
    #expect(checkpoint.tensors["b"]?.file == "2.safetensors")
    let shape = WeightShape([1])
    #expect(try checkpoint.resolve(StoredTensor("b"), as: shape).values(shape.all) == [3])
  }

  @Test func indexAndShardsMustAgree() throws {
    #expect(
      message(try sharded([("a", "1.safetensors"), ("c", "2.safetensors")]))
        == "'/model.safetensors.index.json' places tensor 'c' in '2.safetensors', "
        + "which does not hold it")
    #expect(
      message(try sharded([("a", "2.safetensors"), ("b", "2.safetensors")])).contains("'a'"))
    let partial = try sharded([("a", "1.safetensors"), ("b", "2.safetensors")])
    try partial.write("2.safetensors", safetensors([two, RawEntry("c", [1], [1])]))
    #expect(
      message(partial)
        == "tensor 'c' in '2.safetensors' is not placed there by '/model.safetensors.index.json'")
    try partial.write("2.safetensors", safetensors([two, one]))
    #expect(message(partial) == "tensor 'a' is in both '1.safetensors' and '2.safetensors'")
  }

  @Test(arguments: [
    "../1.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", "model.bin",
    ".safetensors", ".hidden.safetensors",
  ])
  func aShardMustBeAPlainFileOfTheFolder(_ name: String) throws {
    #expect(message(try sharded([("a", name)])).contains("not a plain .safetensors file name"))
  }

  @Test func whatIsMissingIsNamed() throws {
    let folder = try TemporaryFolder()
    #expect(
      message(folder)
        == "'' has neither 'model.safetensors' nor 'model.safetensors.index.json'")
    try folder.write("model.safetensors.index.json", index([("a", "1.safetensors")]))
    #expect(message(folder) == "cannot open '/1.safetensors': No such file or directory")
    try folder.write("model.safetensors.index.json", #"{"weight_map":[]}"#)
    #expect(message(folder).contains("$.weight_map: expected an object"))
    try folder.write("model.safetensors", safetensors([one]))
    #expect(message(folder) == "")
    #expect(throws: CheckpointError.self) { try Checkpoint.open(folder.path + "/nothing") }
    #expect(throws: CheckpointError.self) { try Checkpoint.open("/dev/null") }
  }

  @Test func whatMayNotBeReadIsNotMissing() throws {
    let folder = try sharded([("a", "1.safetensors"), ("b", "2.safetensors")])
    let files = ["", "/model.safetensors.index.json", "/1.safetensors", "/2.safetensors"]
    for file in files { #expect(unsafe chmod(folder.path + file, 0o755) == 0) }
    for (file, at) in zip(files, ["/model.safetensors"] + files.dropFirst()) {
      #expect(unsafe chmod(folder.path + file, 0) == 0)
      #expect(
        unprivileged { message(folder) }
          == "cannot open '\(at)': Permission denied; allow this user to read it ('chmod +r') "
          + "and to enter its folder ('chmod +x')")
      #expect(unsafe chmod(folder.path + file, 0o755) == 0)
    }
    // Nor is a link that leads nowhere near it.
    let link = folder.path + "/model.safetensors"
    #expect(unsafe symlink(link, link) == 0)
    #expect(
      message(folder) == "cannot open '/model.safetensors': Too many levels of symbolic links")
  }

  /// Calls `body` without the rights of a superuser over files, on this thread only.
  private func unprivileged<Result>(_ body: () -> Result) -> Result {
    typealias Switch = @convention(c) (UInt32) -> Int32
    guard let found = unsafe dlsym(nil, "setfsuid") else { preconditionFailure("Linux has it") }
    let setUser = unsafe unsafeBitCast(found, to: Switch.self)
    if geteuid() == 0 { _ = setUser(65534) }
    defer { if geteuid() == 0 { _ = setUser(0) } }
    return body()
  }
}
