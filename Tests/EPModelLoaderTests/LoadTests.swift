import Foundation
import Testing

@testable import EPModelLoader

/// Loads that succeed, and the cache.
@Suite struct LoadTests {
  @Test(arguments: ["installed", "built"]) func modelComesBackAsItsLibraryWroteIt(
    layout: String
  ) throws {
    var file = try ModelFile("let model = Model(\"k2\") { print(\"hello\") }")
    file.options.libraryDirectory = layout == "built" ? Fixture.built : Fixture.installed
    file.options.usesCache = false
    let output = try file.load()
    #expect(String(decoding: output.payload, as: UTF8.self) == "{\"name\":\"k2\"}\n")
    #expect(output.printed == "hello\n")
    #expect(output.diagnostics == "")
    #expect(!output.fromCache)
    #expect(output.timings.map(\.step) == [.locate, .key, .compile, .run])
  }

  @Test func secondLoadRunsNothing() throws {
    var file = try ModelFile(
      "func unused() { let x = 1 }\nlet model = Model(\"a\") { print(\"hello\") }")
    let first = try file.load()
    #expect(first.timings.map(\.step) == [.locate, .key, .compile, .run, .store])
    #expect(first.diagnostics.hasPrefix("\(file.path):2:21: warning: "))
    // A compiler that fails would be noticed if it ran: identity is by stat, and so stays.
    let second = try file.load()
    #expect(second.fromCache)
    #expect(second.timings.map(\.step) == [.locate, .key])
    #expect(second.payload == first.payload)
    #expect(second.diagnostics == first.diagnostics)
    #expect(second.printed == first.printed)
    file.options.usesCache = false
    #expect(try !file.load().fromCache)
  }

  @Test func aModelFileTakesFilesBesideItAlong() throws {
    let file = try ModelFile("")
    Files.remove(file.path)
    try Files.create(
      file.path,
      Array("// A model.\n// with: name.swift\nimport EPModel\nlet model = Model(name)\n".utf8))
    #expect(file.failure().contains("name.swift: error: cannot be read"))
    let module = file.folder + "/name.swift"
    for name in ["a", "b"] {
      try? FileManager.default.removeItem(atPath: module)
      try Files.create(module, Array("let name = \"\(name)\"\n".utf8))
      // What it says is part of the key: a change is no hit.
      let first = try file.load()
      #expect(String(decoding: first.payload, as: UTF8.self) == "{\"name\":\"\(name)\"}\n")
      #expect(!first.fromCache)
      #expect(try file.load().fromCache)
    }
    // A comment further down names nothing.
    try file.write("// with: gone.swift\nlet model = Model(\"c\")")
    #expect(try String(decoding: file.load().payload, as: UTF8.self).contains("\"c\""))
  }

  @Test func damagedEntryIsAMissAndIsReplaced() throws {
    var file = try ModelFile("let model = Model(\"b\")")
    file.options.cacheDirectory = file.folder + "/cache"
    let payload = try file.load().payload
    let folder = file.folder + "/cache/models"
    let entry = try folder + "/" + #require(Files.names(in: folder).first)
    var bytes = try Files.read(entry, limit: 1 << 20)
    for damage in 0..<3 {
      switch damage {
      case 0: bytes[bytes.count - 3] ^= 1
      case 1: bytes.removeLast(4)
      default: bytes = []
      }
      Files.remove(entry)
      try Files.create(entry, bytes)
      let output = try file.load()
      #expect(!output.fromCache)
      #expect(output.payload == payload)
      #expect(try file.load().fromCache)
      bytes = try Files.read(entry, limit: 1 << 20)
    }
  }

  @Test func cacheKeepsTheEntriesUsedLast() throws {
    var options = ModelFileOptions()
    options.cacheDirectory = "\(Fixture.folder)/bounded"
    options.cacheEntries = 3
    let cache = try #require(CacheDirectory(options: options))
    for name in ["a", "b", "c"] { cache.write("models", name, [1, 2, 3]) }
    // Times apart, whatever the file system's resolution is.
    for (name, age) in [("a", 30), ("b", 20), ("c", 10)] {
      var times = [timeval(), timeval()]
      times[0].tv_sec = time(nil) - age
      times[1].tv_sec = time(nil) - age
      unsafe utimes("\(cache.path)/models/\(name)", times)
    }
    #expect(cache.read("models", "a") == [1, 2, 3])
    cache.write("models", "d", [4])
    #expect(Files.names(in: cache.path + "/models") == ["a", "c", "d"])
  }

  @Test func failuresAreNotCached() throws {
    var file = try ModelFile("let model = Model(\"c\") { fatalError() }")
    file.options.cacheDirectory = file.folder + "/cache"
    _ = file.failure()
    #expect(Files.names(in: file.folder + "/cache/models") == [])
  }

  @Test func unwritableCacheIsNoHindrance() throws {
    var file = try ModelFile("let model = Model(\"d\")")
    file.options.cacheDirectory = "/proc/nowhere"
    #expect(try !file.load().fromCache)
    file.options.cacheDirectory = nil
    for name in ["EPC_CACHE_DIR", "XDG_CACHE_HOME", "HOME"] {
      file.options.environment[name] = nil
    }
    #expect(try !file.load().fromCache)
  }

  @Test func keyCoversEveryInput() throws {
    let file = try ModelFile("let model = Model(\"e\")")
    let toolchain = try Toolchain.locate(options: file.options, cache: nil)
    let library = try ModelLibrary.locate(options: file.options)
    let source = try ModelSource(path: file.path, limit: 1 << 20)
    func key(
      _ source: ModelSource, _ toolchain: Toolchain, _ library: ModelLibrary, _ entry: String = ""
    ) -> String {
      LoadKey(source: source, toolchain: toolchain, library: library, entryPoint: entry).digest
    }
    var keys = [key(source, toolchain, library)]
    #expect(key(source, toolchain, library) == keys[0])
    keys.append(key(source, toolchain, library, "x"))

    let otherTools = Toolchain(
      compiler: toolchain.compiler, files: toolchain.files, version: toolchain.version + "x",
      runtimeLibraryPaths: toolchain.runtimeLibraryPaths, hasLLD: toolchain.hasLLD)
    keys.append(key(source, otherTools, library))
    keys.append(
      key(
        source,
        Toolchain(
          compiler: toolchain.compiler, files: [], version: toolchain.version,
          runtimeLibraryPaths: toolchain.runtimeLibraryPaths, hasLLD: toolchain.hasLLD), library))
    keys.append(
      key(
        source, toolchain,
        ModelLibrary(
          moduleName: "EPModel", moduleDirectory: library.moduleDirectory,
          linkInputs: library.linkInputs, files: Array(library.files.dropLast()))))

    try file.write("let model = Model(\"f\")")
    keys.append(key(try ModelSource(path: file.path, limit: 1 << 20), toolchain, library))
    let elsewhere = file.folder + "/y.swift"
    try Files.create(elsewhere, Array(source.text.utf8))
    keys.append(key(try ModelSource(path: elsewhere, limit: 1 << 20), toolchain, library))
    #expect(Set(keys).count == keys.count)
    #expect(!source.isUnchanged)
  }

  @Test func rebuiltLibraryIsAnotherKey() throws {
    let file = try ModelFile("let model = Model(\"g\")")
    let copy = file.folder + "/library"
    try Files.makeDirectories(copy)
    for name in Files.names(in: Fixture.installed) {
      let bytes = try Files.read("\(Fixture.installed)/\(name)", limit: 1 << 26)
      try Files.create("\(copy)/\(name)", bytes)
    }
    var options = file.options
    options.libraryDirectory = copy
    let before = try ModelLibrary.locate(options: options).files
    let bytes = try Files.read(copy + "/libEPModel.a", limit: 1 << 26)
    Files.remove(copy + "/libEPModel.a")
    try Files.create(copy + "/libEPModel.a", bytes)
    #expect(try ModelLibrary.locate(options: options).files != before)
  }

  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      String(repeating: "a", count: 1_000),
      "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"
    ),
  ])
  func digestIsThatOfTheStandard(text: String, digest: String) {
    var sha = SHA256()
    sha.update(text.utf8)
    #expect(sha.hexadecimal() == digest)
  }
}
