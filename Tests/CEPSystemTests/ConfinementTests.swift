import CEPSystem
import EPSystem
import Foundation
import Testing

@testable import EPModelLoader

/// Each way out of the jail, tried by a real program.
@Suite struct ConfinementTests {
  @Test(arguments: [
    ("truncate", "truncate"), ("unlink", "unlink"), ("rename", "rename"), ("mkdir", "mkdir"),
    ("symlink", "symlink"), ("chmod", "chmod"), ("chown", "chown"), ("utimes", "utimensat"),
    ("xattr", "setxattr"), ("write", "openat"), ("create", "openat"), ("memfd", "memfd_create"),
    ("handle", "open_by_handle_at"),
    ("fork", "clone"), ("vfork", "clone"), ("exec", "execve"), ("exec-self", "execve"),
    ("execveat", "execveat"), ("ptrace", "ptrace"), ("kill-parent", "kill"), ("kill-all", "kill"),
    ("tgkill-other", "tgkill"), ("prlimit-other", "prlimit64"), ("vm-read", "process_vm_readv"),
    ("setsid", "setsid"), ("unshare", "unshare"), ("setns", "setns"), ("setuid", "setuid"),
    ("socket", "socket"), ("unix", "socket"), ("socketpair", "socketpair"),
    ("mount", "mount"), ("bpf", "bpf"), ("perf", "perf_event_open"),
    ("userfaultfd", "userfaultfd"), ("io_uring", "io_uring_setup"), ("keyctl", "keyctl"),
  ])
  func forbiddenCallEndsTheProgramAndIsNamed(what: String, call: String) throws {
    let target = Probe.target(what)
    let before = Files.identity(target)
    let outcome = Probe.confined(what, what == "exec-self" ? Probe.program : target)
      .run(interrupts: nil)
    #expect(outcome.stop == EPC_STOP_DENIED_CALL)
    #expect(outcome.signal == SIGKILL)
    #expect(outcome.text == "")
    let name = unsafe try #require(epc_denied_call_name(outcome.deniedCall))
    // Architectures without the older call of a pair use the newer one.
    #expect(unsafe String(cString: name).hasPrefix(call))
    #expect(unsafe epc_denied_call_action(outcome.deniedCall) != nil)
    #expect(Files.identity(target) == before)
  }

  @Test func filesOutsideTheListCannotBeRead() {
    let target = Probe.target("secret")
    for path in ["/etc/passwd", "/proc/self/maps", "/proc/self/environ", "/dev/urandom", target] {
      #expect(Probe.confined("read", path).run(interrupts: nil).text == "EACCES", "\(path)")
    }
    for path in ["/", "/etc", "/proc", "/lib64"] {
      #expect(Probe.confined("list", path).run(interrupts: nil).text == "EACCES", "\(path)")
    }
    #expect(Probe.confined("read", Probe.program).run(interrupts: nil).text == "allowed")
  }

  @Test(arguments: ["clone3", "openat2", "new-call"])
  func callsThatTheFilterCannotJudgeDoNotExist(what: String) {
    #expect(Probe.confined(what).run(interrupts: nil).text == "ENOSYS")
  }

  #if arch(x86_64)
    @Test(arguments: ["x32", "32-bit"]) func otherCallConventionsEndTheProgram(what: String) {
      let outcome = Probe.confined(what).run(interrupts: nil)
      #expect(outcome.signal == SIGSYS)
      #expect(outcome.text == "")
    }
  #endif

  @Test func parentDeathSignalCannotBeSwitchedOff() {
    #expect(Probe.confined("pdeathsig").run(interrupts: nil).text == "EPERM")
  }

  @Test func rootHasNoCapabilities() {
    #expect(Probe.confined("capabilities").run(interrupts: nil).text == "0 0")
  }

  @Test func threadsAndOwnSignalsWork() {
    #expect(Probe.confined("thread").run(interrupts: nil).text == "thread")
    #expect(Probe.confined("raise").run(interrupts: nil).signal == SIGTERM)
    #expect(Probe.confined("abort").run(interrupts: nil).signal == SIGABRT)
  }

  @Test func programSeesOnlyWhatItWasGiven() {
    // Descriptors that would leak, were they not closed: one above and one below the usual range.
    let leaks = unsafe [open("/etc/passwd", O_RDONLY), fcntl(0, F_DUPFD, 900)]
    defer { leaks.forEach { close($0) } }
    #expect(Probe.confined("descriptors").run(interrupts: nil).text == "0 1 2 3 ")
    #expect(Probe.bounded("descriptors").run(interrupts: nil).text == "0 1 2 3 ")
    #expect(Probe.confined("environment").run(interrupts: nil).text == "A=b\n")
    #expect(Probe.confined("directory").run(interrupts: nil).text == "/")
    #expect(Probe.confined("input").run(interrupts: nil).text == "allowed")
  }

  @Test func landlockIsReported() {
    #expect(epc_landlock_abi() >= 1)
  }
}
