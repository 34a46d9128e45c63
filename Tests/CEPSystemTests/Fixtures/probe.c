// Tries one thing, named by its argument, and writes what came of it to descriptor 3.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *text) { dprintf(3, "%s", text); }

static void report(long result) { say(result >= 0 ? "allowed" : strerrorname_np(errno)); }

static void *in_thread(void *argument) {
  (void)argument;
  say("thread");
  return NULL;
}

static int recurse(volatile int depth) {
  volatile char room[4096];
  room[0] = (char)depth;
  return recurse(depth + 1) + room[0];
}

int main(int count, char **arguments) {
  const char *what = count > 1 ? arguments[1] : "";
  const char *path = count > 2 ? arguments[2] : "/nowhere";
#define TRY(name) if (strcmp(what, name) == 0)
  // Files.
  TRY("read") report(open(path, O_RDONLY));
  TRY("list") report(open(path, O_RDONLY | O_DIRECTORY));
  TRY("write") report(open(path, O_WRONLY));
  TRY("create") report(open(path, O_CREAT | O_RDWR, 0600));
  TRY("truncate") report(truncate(path, 0));
  TRY("unlink") report(unlink(path));
  TRY("rename") report(rename(path, "/tmp/x"));
  TRY("mkdir") report(mkdir(path, 0700));
  TRY("symlink") report(symlink("/etc", path));
  TRY("chmod") report(chmod(path, 0777));
  TRY("chown") report(chown(path, 1, 1));
  TRY("utimes") report(utimensat(AT_FDCWD, path, NULL, 0));
  TRY("xattr") report(setxattr(path, "user.x", "y", 1, 0));
  TRY("memfd") report(memfd_create("x", 0));
  TRY("openat2") report(syscall(SYS_openat2, AT_FDCWD, path, NULL, 0));
  TRY("handle") report(syscall(SYS_open_by_handle_at, 0, NULL, 0));
  // Processes.
  TRY("fork") report(fork());
  TRY("vfork") report(syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0));
  TRY("clone3") report(syscall(SYS_clone3, NULL, 0));
  TRY("exec") report(execl("/bin/true", "true", NULL));
  TRY("exec-self") report(execl(path, "probe", "hello", NULL));
  TRY("execveat") {
    char *none[] = {NULL};
    report(syscall(SYS_execveat, AT_FDCWD, path, none, none, 0, 0x1234567890abcdefL));
  }
  TRY("ptrace") report(ptrace(PTRACE_TRACEME, 0, 0, 0));
  TRY("kill-parent") report(kill(getppid(), 0));
  TRY("kill-all") report(kill(-1, SIGTERM));
  TRY("tgkill-other") report(syscall(SYS_tgkill, getppid(), getppid(), 0));
  TRY("prlimit-other") {
    struct rlimit limit;
    report(prlimit(getppid(), RLIMIT_CPU, NULL, &limit));
  }
  TRY("vm-read") report(process_vm_readv(getppid(), NULL, 0, NULL, 0, 0));
  TRY("setsid") report(setsid());
  TRY("unshare") report(unshare(CLONE_NEWUSER));
  TRY("setns") report(setns(0, 0));
  TRY("setuid") report(setuid(0));
  TRY("pdeathsig") report(prctl(PR_SET_PDEATHSIG, 0));
  // Network.
  TRY("socket") report(socket(AF_INET, SOCK_STREAM, 0));
  TRY("unix") report(socket(AF_UNIX, SOCK_DGRAM, 0));
  TRY("socketpair") {
    int ends[2];
    report(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  }
  // The kernel.
  TRY("mount") report(mount("none", "/tmp", "tmpfs", 0, NULL));
  TRY("bpf") report(syscall(SYS_bpf, 0, NULL, 0));
  TRY("perf") report(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
  TRY("userfaultfd") report(syscall(SYS_userfaultfd, 0));
  TRY("io_uring") report(syscall(SYS_io_uring_setup, 1, NULL));
  TRY("keyctl") report(syscall(SYS_keyctl, 0, 0, 0));
  TRY("new-call") report(syscall(461, 0, 0, 0));
#ifdef __x86_64__
  TRY("x32") report(syscall(0x40000000 | SYS_getpid));
  TRY("32-bit") {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    report(result);
  }
#endif
  // What has to work.
  TRY("hello") say("hello");
  TRY("thread") {
    pthread_t thread;
    if (pthread_create(&thread, NULL, in_thread, NULL) != 0) return 1;
    pthread_join(thread, NULL);
  }
  TRY("raise") raise(SIGTERM);
  TRY("abort") abort();
  TRY("exit") return 7;
  TRY("print") {
    printf("to output\n");
    fflush(stdout);
    fprintf(stderr, "to error\n");
  }
  TRY("environment") {
    for (char **entry = environ; *entry != NULL; entry++) dprintf(3, "%s\n", *entry);
  }
  TRY("descriptors") {
    for (int descriptor = 0; descriptor < 1024; descriptor++) {
      if (fcntl(descriptor, F_GETFD) >= 0) dprintf(3, "%d ", descriptor);
    }
  }
  TRY("directory") {
    char room[4096];
    say(getcwd(room, sizeof room) != NULL ? room : "none");
  }
  TRY("capabilities") {
    unsigned header[2] = {0x20080522, 0};
    unsigned data[6] = {0};
    syscall(SYS_capget, header, data);
    dprintf(3, "%x %x", data[1] & ~4u, data[4]);
  }
  TRY("input") {
    char byte;
    report(read(0, &byte, 1) == 0 ? 0 : -1);
  }
  // Bounds.
  TRY("spin") for (volatile long i = 0;; i++) {}
  TRY("spin-stubborn") {
    signal(SIGXCPU, SIG_IGN);
    for (volatile long i = 0;; i++) {}
  }
  TRY("sleep") for (;;) pause();
  TRY("flood") for (;;) say("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
  TRY("flood-error") {
    for (int i = 0; i < 100000; i++) fprintf(stderr, "line %d\n", i);
    say("done");
  }
  TRY("memory") report(mmap(NULL, (size_t)8 << 30, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                               MAP_FAILED ? -1 : 0);
  TRY("recurse") return recurse(0);
  TRY("grandchild") {
    // For runs that are not confined: leaves a process behind, in a group of its own if asked.
    if (fork() == 0) {
      if (strcmp(path, "apart") == 0) setpgid(0, 0);
      for (;;) pause();
    }
    say("left");
  }
  return 0;
}
