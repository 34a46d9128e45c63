// Setting up: what fails here fails the tests.
// swift-format-ignore-file: NeverUseForceTry

import CEPSystem
import EPSystem
import Foundation

@testable import EPModelLoader

/// The compiled `Fixtures/probe.c`, and a folder of its own.
enum Probe {
  /// Holds the program; removed when the test process ends.
  static let folder: String = {
    let path = "/tmp/epc-probe-\(getpid())"
    try! Files.makeDirectories(path)
    atexit { Files.remove(Probe.folder) }
    return path
  }()

  /// The program's path.
  static let program: String = {
    let source = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    let path = folder + "/probe"
    let outcome = ProgramRun(
      program: "/usr/bin/env",
      arguments: ["env", "clang", "-O0", "-pthread", "/\(source)/Fixtures/probe.c", "-o", path],
      environment: ["PATH=" + (ProcessInfo.processInfo.environment["PATH"] ?? "")],
      outputDescriptor: 1, outputLimit: 1 << 20, wallMilliseconds: 60_000, cpuSeconds: 60
    ).run(interrupts: nil)
    precondition(outcome.succeeded, outcome.error)
    return path
  }()

  /// A file that its owner, who runs the tests, could do anything to.
  static func target(_ name: String) -> String {
    let path = "\(folder)/\(name)-\(UInt32.random(in: 0 ... .max))"
    try! Files.create(path, Array("content".utf8))
    return path
  }

  /// A confined run that tries `what`.
  static func confined(_ what: String, _ path: String = "/nowhere") -> ProgramRun {
    ProgramRun(
      program: program, arguments: ["probe", what, path], environment: ["A=b"], directory: "/",
      outputDescriptor: 3, outputLimit: 1 << 20, errorLimit: 1_000, wallMilliseconds: 20_000,
      cpuSeconds: 5, memoryBytes: 1 << 30, stackBytes: 1 << 20, fileSizeBytes: 0, openFiles: 64,
      confinement: .init(
        readable: [
          "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64",
          "/etc/ld.so.cache",
        ],
        executable: [program, "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"],
        acceptsMissingLandlock: false))
  }

  /// The same without confinement.
  static func bounded(_ what: String, _ path: String = "/nowhere") -> ProgramRun {
    var run = confined(what, path)
    run.confinement = nil
    return run
  }
}

extension ProgramRun.Outcome {
  /// The output as text.
  var text: String { String(decoding: output, as: UTF8.self) }
}

/// The processes of this machine that run `program`.
func processes(running program: String) -> [String] {
  Files.names(in: "/proc").filter { Int($0) != nil }.filter {
    Files.resolved("/proc/\($0)/exe") == program
  }
}
