import Foundation
import Testing

/// Open MPI and the library through which epc reaches it.
enum OpenMPI {
  static let library = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "plugins/mpi/lib/libepc-mpi.so").path()

  static let isThere =
    FileManager.default.isExecutableFile(atPath: "/usr/bin/mpirun")
    && FileManager.default.fileExists(atPath: library)
}

/// Plans whose ranks are MPI processes make what the cpu backend makes.
@Suite(
  .enabled(
    if: OpenMPI.isThere,
    "mpirun or plugins/mpi/lib/libepc-mpi.so is not there: scripts/setup installs both"))
struct MPITests {
  private func mpirun(_ ranks: Int, _ arguments: [String]) throws -> (
    status: Int32, output: String, errors: String
  ) {
    try epc(
      arguments, environment: ["EPC_MPI_LIBRARY": OpenMPI.library, "HOME": "/root"],
      under: [
        "/usr/bin/mpirun", "-n", "\(ranks)", "--allow-run-as-root", "--oversubscribe", "--bind-to",
        "none", "--mca", "btl", "self,vader", "--mca", "btl_vader_single_copy_mechanism", "none",
        "--mca", "mpi_yield_when_idle", "1",
      ])
  }

  /// The lines with tokens and traffic: all but those with times, with what is known where all
  /// ranks are in one process, and with what one process holds.
  private func results(_ output: String) -> [String] {
    output.split(separator: "\n").map(String.init).filter {
      !$0.contains("tokens/s") && !$0.hasPrefix("rows of a rank") && !$0.hasPrefix("first token")
        && !$0.hasPrefix("memory:") && !$0.hasPrefix("without fast kernels")
    }
  }

  @Test(arguments: [
    ["--dp", "4", "--ep", "4"], ["--dp", "2", "--tp", "2", "--ep", "4"],
    ["--pp", "2", "--dp", "2", "--ep", "2"], ["--prefill", "dp=2,ep=2", "--decode", "tp=2,ep=2"],
  ])
  func aPlanOverProcessesEqualsTheCPUBackend(mesh: [String]) throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    let compiled = try epc(["compile", "models/tiny-deepseek.swift", "-o", plan] + mesh)
    #expect(compiled.status == 0, "\(compiled.errors)")
    var written: [Data] = []
    let run = { (backend: String) in
      [
        "exec", plan, "--weights", "synthetic:3", "--tokens", "1,2,3,4,5", "--generate", "6",
        "--speculate", "1", "--threads", "1", "--backend", backend, "--output",
        folder.path(backend),
      ]
    }
    let cpu = try epc(run("cpu"))
    let mpi = try mpirun(4, run("mpi"))
    #expect(cpu.status == 0 && mpi.status == 0, "\(cpu.errors) \(mpi.errors)")
    for backend in ["cpu", "mpi"] {
      written.append(try Data(contentsOf: URL(filePath: folder.path(backend))))
    }
    // Logits and tokens, bit for bit.
    #expect(written[0] == written[1])
    // One process speaks.
    #expect(
      results(cpu.output).dropLast() == results(mpi.output).dropLast(), "\(mpi.output)")
    #expect(mpi.output.contains("on 4 rank(s) of mpi"))
  }

  @Test func whatFailsOnOneRankEndsTheJobWithOneReason() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-deepseek.swift", "--dp", "2", "--ep", "2", "-o", plan])
    let wrongCount = try mpirun(
      3, ["exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--backend", "mpi"])
    #expect(wrongCount.status != 0)
    #expect(
      wrongCount.errors.split(separator: "\n").filter { $0.contains("with 'mpirun -n 2'") }.count
        == 1, "\(wrongCount.errors)")
    let wrongFlag = try mpirun(
      2, ["exec", plan, "--weights", "synthetic:1", "--tokens", "x", "--backend", "mpi"])
    #expect(wrongFlag.status != 0)
    #expect(
      wrongFlag.errors.split(separator: "\n").filter { $0.contains("is no token") }.count == 1)
  }

  @Test func theConformanceSuiteRunsOverProcesses() throws {
    let run = try mpirun(4, ["conformance", "--backend", "mpi", "--only", "grouped"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("mpi: 8 passed, 3 unsupported, 0 failed"), "\(run.output)")
  }

  @Test func withoutTheLibraryTheErrorSaysWhatToInstall() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-k2.swift", "-o", plan])
    let run = try epc(
      ["exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--backend", "mpi"],
      environment: ["EPC_MPI_LIBRARY": folder.path("none.so")])
    #expect(run.status == 1 && run.errors.contains("libopenmpi-dev"), "\(run.errors)")
    let wrong = try epc(
      ["exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--backend", "mpi"],
      environment: ["EPC_MPI_LIBRARY": plan])
    #expect(wrong.status == 1 && wrong.errors.contains("MPI cannot be loaded"), "\(wrong.errors)")
  }
}
