// Setting up: what fails here fails the tests.
// swift-format-ignore-file: NeverUseForceTry

import EPSystem
import Foundation
import Testing

@testable import EPModelLoader

/// A compiled stand-in for the model library, and folders for what tests make.
enum Fixture {
  /// Holds everything; removed when the test process ends.
  static let folder: String = {
    let path = "/tmp/epc-loader-tests-\(getpid())"
    try! Files.makeDirectories(path)
    atexit { Files.remove(Fixture.folder) }
    return path
  }()

  static let swiftc: String = try! Toolchain.locate(
    options: ModelFileOptions(), cache: nil
  ).compiler

  /// The stand-in as an installation has it: `EPModel.swiftmodule` and `libEPModel.a`.
  static let installed: String = {
    let path = folder + "/installed"
    try! Files.makeDirectories(path)
    compile([
      "-wmo", "-parse-as-library", "-emit-module", "-emit-module-path",
      path + "/EPModel.swiftmodule", "-emit-library", "-static", "-module-name", "EPModel",
      source("EPModel.swift"), "-o", path + "/libEPModel.a",
    ])
    return path
  }()

  /// The stand-in as a build leaves it, with the object of a source that is gone.
  static let built: String = {
    let path = folder + "/built"
    try! Files.makeDirectories(path + "/Modules")
    try! Files.makeDirectories(path + "/EPModel.build/DSL")
    let object = path + "/EPModel.build/DSL/EPModel.swift.o"
    compile([
      "-wmo", "-parse-as-library", "-emit-module", "-emit-module-path",
      path + "/Modules/EPModel.swiftmodule", "-emit-object", "-module-name", "EPModel",
      source("EPModel.swift"), "-o", object,
    ])
    let bytes = try! Files.read(object, limit: 1 << 24)
    try! Files.create(path + "/EPModel.build/Renamed.swift.o", bytes)
    let map = """
      {
        "": {"object": "/b/EPModel.build/EPModel.o"},
        "/a/DSL/EPModel.swift": {"object": "/b/EPModel.build/DSL/EPModel.swift.o"}
      }
      """
    try! Files.create(path + "/EPModel.build/output-file-map.json", Array(map.utf8))
    return path
  }()

  /// Path of the package.
  static let package = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  /// Path of a file in `Fixtures`.
  static func source(_ name: String) -> String {
    let folder = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    return "/\(folder)/Fixtures/\(name)"
  }

  /// Runs swiftc, which has to succeed.
  static func compile(_ arguments: [String]) {
    let outcome = ProgramRun(
      program: swiftc, arguments: [swiftc] + arguments,
      environment: CompileModel.environment(from: Environment.current, temporary: folder),
      outputDescriptor: 1, outputLimit: 1 << 20, wallMilliseconds: 120_000, cpuSeconds: 120
    ).run(interrupts: nil)
    precondition(outcome.succeeded, outcome.error)
  }
}

/// A model file in a folder of its own, and a place for temporary files that has to end up empty.
struct ModelFile {
  let folder: String
  let path: String
  var options = ModelFileOptions()

  /// `text` follows `import EPModel`, in line 2.
  init(_ text: String, name: String = "x.swift") throws {
    folder = "\(Fixture.folder)/\(UInt64.random(in: 0 ... .max))"
    try Files.makeDirectories(folder + "/tmp")
    path = folder + "/" + name
    try Files.create(path, Array("import EPModel\n\(text)\n".utf8))
    options.libraryDirectory = Fixture.installed
    options.cacheDirectory = Fixture.folder + "/cache"
    options.environment["TMPDIR"] = folder + "/tmp"
  }

  /// Loads it and checks that no temporary file is left.
  func load() throws(ModelLoadError) -> ModelFileOutput {
    defer { #expect(Files.names(in: folder + "/tmp") == []) }
    return try ModelFileLoader().load(path: path, options: options)
  }

  /// Loads it, which has to fail; the message without the folder.
  func failure() -> String {
    do throws(ModelLoadError) {
      let output = try load()
      return "loaded " + String(decoding: output.payload, as: UTF8.self)
    } catch {
      return error.description.replacingOccurrences(of: folder + "/", with: "")
    }
  }

  /// Replaces its text.
  func write(_ text: String) throws {
    Files.remove(path)
    try Files.create(path, Array("import EPModel\n\(text)\n".utf8))
  }
}
