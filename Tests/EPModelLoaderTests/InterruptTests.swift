import Foundation
import Testing

@testable import EPModelLoader

/// A program that loads a model file ends cleanly at a signal.
@Suite struct InterruptTests {
  /// `Fixtures/driver.swift`, linked with the loader that the tests were built with.
  private static func makeDriver() throws -> String {
    let products = Files.directory(of: try #require(Files.resolved("/proc/self/exe")))
    let objects = ["EPModelLoader", "EPSystem", "CEPSystem", "EPJSON"].flatMap { target in
      Files.names(in: "\(products)/\(target).build").filter { $0.hasSuffix(".o") }
        .map { "\(products)/\(target).build/\($0)" }
    }
    let driver = Fixture.folder + "/driver"
    Fixture.compile(
      ["-parse-as-library", "-swift-version", "5", "-I", products + "/Modules"]
        + ["-Xcc", "-fmodule-map-file=\(products)/CEPSystem.build/module.modulemap"]
        + ["-Xcc", "-fmodule-map-file=\(Fixture.package)/Sources/CJSONC/module.modulemap"]
        + ["-ljson-c"]
        + [Fixture.source("driver.swift"), "-o", driver] + objects)
    return driver
  }

  @Test func signalLeavesNothingBehind() throws {
    let driver = try Self.makeDriver()
    // Once while the model runs, for each signal, and once by what cannot be caught.
    for signal in [SIGINT, SIGTERM, SIGKILL] {
      let file = try ModelFile("let model = Model(\"a\") { while true {} }")
      let temporary = file.folder + "/tmp"
      let process = Process()
      process.executableURL = URL(filePath: driver)
      process.arguments = [file.path, Fixture.installed]
      process.environment = ["PATH": Environment.current["PATH"] ?? "", "TMPDIR": temporary]
      try process.run()

      var model: [String] = []
      let deadline = Date(timeIntervalSinceNow: 60)
      while model.isEmpty && Date() < deadline {
        usleep(10_000)
        let path = Files.names(in: temporary).first.map { "\(temporary)/\($0)/model" }
        model = path.map(processes(running:)) ?? []
      }
      #expect(model.count == 1)
      kill(process.processIdentifier, signal)
      process.waitUntilExit()
      #expect(process.terminationReason == .uncaughtSignal)
      #expect(process.terminationStatus == signal)
      while model.contains(where: { Files.resolved("/proc/\($0)/exe") != nil }) && Date() < deadline
      {
        usleep(1_000)
      }
      #expect(Date() < deadline)
      if signal != SIGKILL { #expect(Files.names(in: temporary) == []) }
    }
  }

  private func processes(running program: String) -> [String] {
    Files.names(in: "/proc").filter { Int($0) != nil }.filter {
      Files.resolved("/proc/\($0)/exe") == program
    }
  }
}
