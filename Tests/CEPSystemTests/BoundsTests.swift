import CEPSystem
import EPSystem
import Foundation
import Testing

@testable import EPModelLoader

/// The bounds that every run has.
@Suite struct BoundsTests {
  @Test func outcomeTellsHowTheProgramEnded() {
    let good = Probe.confined("hello").run(interrupts: nil)
    #expect(good.succeeded)
    #expect(good.text == "hello")
    let failed = Probe.confined("exit").run(interrupts: nil)
    #expect(!failed.succeeded)
    #expect(failed.exitStatus == 7)
    #expect(Probe.confined("recurse").run(interrupts: nil).signal == SIGSEGV)
  }

  @Test func standardOutputJoinsStandardError() {
    let apart = Probe.confined("print").run(interrupts: nil)
    #expect(apart.error == "to output\nto error\n")
    #expect(apart.text == "")
    var run = Probe.bounded("print")
    run.outputDescriptor = 1
    let direct = run.run(interrupts: nil)
    #expect(direct.error == "to error\n")
    #expect(direct.text == "to output\n")
  }

  @Test(arguments: ["sleep", "spin"]) func wallClockEndsTheProgram(what: String) {
    for var run in [Probe.confined(what), Probe.bounded(what)] {
      run.wallMilliseconds = 100
      let outcome = run.run(interrupts: nil)
      #expect(outcome.stop == EPC_STOP_WALL_CLOCK)
      #expect(outcome.signal == SIGKILL)
    }
  }

  @Test func processorTimeEndsTheProgram() {
    var run = Probe.confined("spin")
    run.cpuSeconds = 1
    #expect(run.run(interrupts: nil).signal == SIGXCPU)
    run = Probe.confined("spin-stubborn")
    run.cpuSeconds = 1
    let stubborn = run.run(interrupts: nil)
    #expect(stubborn.signal == SIGKILL)
    #expect(stubborn.stop == EPC_STOP_NONE)
    #expect(stubborn.cpuSeconds >= 1)
  }

  @Test func outputAboveTheLimitEndsTheProgram() {
    let outcome = Probe.confined("flood").run(interrupts: nil)
    #expect(outcome.stop == EPC_STOP_OUTPUT_LIMIT)
    #expect(outcome.output.count == 1 << 20)
  }

  @Test func lastBytesOfStandardErrorAreKept() {
    let outcome = Probe.confined("flood-error").run(interrupts: nil)
    #expect(outcome.text == "done")
    #expect(outcome.error.utf8.count == 1_000)
    #expect(outcome.error.hasSuffix("line 99998\nline 99999\n"))
  }

  @Test func memoryIsBounded() {
    #expect(Probe.confined("memory").run(interrupts: nil).text == "ENOMEM")
  }

  @Test(arguments: ["together", "apart"])
  func processesThatAProgramLeavesBehindEndWithIt(group: String) {
    // A name of its own, since other tests run the program meanwhile.
    var run = Probe.bounded("grandchild", group)
    run.program = Probe.folder + "/grandchild-" + group
    unsafe link(Probe.program, run.program)
    #expect(run.run(interrupts: nil).text == "left")
    // It has been killed, but the kernel may still be at it.
    let deadline = Date(timeIntervalSinceNow: 10)
    while !processes(running: run.program).isEmpty && Date() < deadline { sched_yield() }
    #expect(processes(running: run.program).isEmpty)
  }

  @Test func nothingStaysOpenInTheParent() {
    _ = Probe.program
    let before = Files.names(in: "/proc/self/fd").count
    for _ in 0..<20 {
      _ = Probe.confined("hello").run(interrupts: nil)
      _ = Probe.confined("socket").run(interrupts: nil)
    }
    // Other tests run meanwhile, each with a dozen descriptors; a leak would be 40 or more.
    #expect(Files.names(in: "/proc/self/fd").count < before + 40)
  }

  @Test func failuresToStartNameTheStage() {
    var run = Probe.confined("hello")
    run.program = "/nowhere/program"
    let missing = run.run(interrupts: nil)
    #expect(missing.stage == EPC_STAGE_EXECUTE)
    #expect(missing.stageErrno == ENOENT)
    run = Probe.bounded("hello")
    run.directory = "/nowhere"
    #expect(run.run(interrupts: nil).stage == EPC_STAGE_DIRECTORY)
    run = Probe.bounded("hello")
    run.program = "relative"
    #expect(run.run(interrupts: nil).stage == EPC_STAGE_ARGUMENTS)
    run = Probe.confined("hello")
    run.confinement?.executable = []
    let forbidden = run.run(interrupts: nil)
    #expect(forbidden.stage == EPC_STAGE_EXECUTE)
    #expect(forbidden.stageErrno == EACCES)
  }
}
