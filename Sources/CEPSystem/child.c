// The child between fork and exec. Other threads of the parent may hold any lock, so only
// async-signal-safe calls are made here, and nothing is allocated.

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Above the descriptors that the program gets, below any sensible limit.
enum { EPC_FIRST_HIGH_DESCRIPTOR = 10 };

#define EPC_CLOSE_RANGE_CLOEXEC (1u << 2)

static void fail(int status, epc_stage stage) __attribute__((noreturn));

static void fail(int status, epc_stage stage) {
  const struct epc_child_message message = {.stage = stage, .error = errno};
  const ssize_t written = write(status, &message, sizeof message);
  (void)written;
  _exit(127);
}

/// Default actions and an empty mask: handlers are gone with exec, but what is ignored would stay so.
static void reset_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < 65; number++) sigaction(number, &action, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static int move_up(int descriptor) {
  return descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, EPC_FIRST_HIGH_DESCRIPTOR);
}

/// Lets every descriptor from `first` on be closed by exec.
static void close_on_exec_from(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, (unsigned)first, ~0u, EPC_CLOSE_RANGE_CLOEXEC) == 0) return;
#endif
  struct rlimit limit;
  rlim_t end = 65536;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < end) end = limit.rlim_cur;
  for (int descriptor = first; descriptor < (int)end; descriptor++) {
    const int flags = fcntl(descriptor, F_GETFD);
    if (flags >= 0) fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
  }
}

static void limit(int status, __rlimit_resource_t resource, uint64_t soft, uint64_t hard) {
  if (soft == EPC_UNLIMITED) return;
  struct rlimit present;
  if (getrlimit(resource, &present) != 0) fail(status, EPC_STAGE_LIMITS);
  if (present.rlim_max != RLIM_INFINITY && present.rlim_max < hard) hard = present.rlim_max;
  if (soft > hard) soft = hard;
  const struct rlimit wanted = {.rlim_cur = soft, .rlim_max = hard};
  if (setrlimit(resource, &wanted) != 0) fail(status, EPC_STAGE_LIMITS);
}

static void limit_resources(int status, const epc_spawn_options *options) {
  // One byte, not none: a core_pattern that is a pipe ignores 0 and honours 1.
  limit(status, RLIMIT_CORE, 1, 1);
  // The soft limit sends SIGXCPU, which tells what happened; the hard one a second later is SIGKILL.
  const uint64_t cpu = options->cpu_seconds;
  limit(status, RLIMIT_CPU, cpu, cpu == EPC_UNLIMITED ? cpu : cpu + 1);
  limit(status, RLIMIT_AS, options->address_space_bytes, options->address_space_bytes);
  limit(status, RLIMIT_STACK, options->stack_bytes, options->stack_bytes);
  limit(status, RLIMIT_FSIZE, options->file_size_bytes, options->file_size_bytes);
  limit(status, RLIMIT_NOFILE, options->open_files, options->open_files);
}

/// Gives up root's powers. Under no_new_privs an exec by root cannot bring them back.
/// Reading past file modes stays, since landlock says what can be read.
static int drop_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    const uint32_t kept = i == 0 ? UINT32_C(1) << CAP_DAC_READ_SEARCH : 0;
    data[i].permitted &= kept;
    data[i].effective &= data[i].permitted;
    data[i].inheritable = 0;
  }
  return (int)syscall(SYS_capset, &header, data);
}

static void send_listener(int status, int listener) {
  struct epc_child_message message = {.stage = EPC_STAGE_RAN, .error = 0};
  struct iovec part = {.iov_base = &message, .iov_len = sizeof message};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr envelope = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = control.room,
      .msg_controllen = sizeof control.room,
  };
  struct cmsghdr *header = CMSG_FIRSTHDR(&envelope);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &listener, sizeof listener);
  if (sendmsg(status, &envelope, MSG_NOSIGNAL) < 0) fail(status, EPC_STAGE_SECCOMP);
}

void epc_child_main(const struct epc_child *child) {
  const epc_spawn_options *options = child->options;
  const int status = move_up(child->status);
  if (status < 0) _exit(127);
  reset_signals();
  setsid();  // no terminal, and a number by which everything that this starts can be found
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != child->parent) _exit(127);  // it died before it could be watched

  const int input = move_up(child->input);
  const int output = move_up(child->output);
  const int error = move_up(child->error);
  const int ruleset = move_up(child->ruleset);
  const bool apart = options->output_descriptor != STDOUT_FILENO;
  if (input < 0 || output < 0 || error < 0 || (child->ruleset >= 0 && ruleset < 0) ||
      dup2(input, STDIN_FILENO) < 0 || dup2(apart ? error : output, STDOUT_FILENO) < 0 ||
      dup2(error, STDERR_FILENO) < 0 || (apart && dup2(output, options->output_descriptor) < 0)) {
    fail(status, EPC_STAGE_DESCRIPTORS);
  }
  close_on_exec_from(apart ? options->output_descriptor + 1 : STDERR_FILENO + 1);

  if (options->directory != NULL && chdir(options->directory) != 0) {
    fail(status, EPC_STAGE_DIRECTORY);
  }
  limit_resources(status, options);
  if (options->confinement != NULL) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || drop_capabilities() != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
      fail(status, EPC_STAGE_PRIVILEGES);
    }
    if (ruleset >= 0 && epc_landlock_restrict(ruleset) != 0) fail(status, EPC_STAGE_LANDLOCK);
    const int listener = epc_seccomp_restrict(child->cookie);
    if (listener == -2) fail(status, EPC_STAGE_SECCOMP);
    if (listener >= 0) send_listener(status, listener);
  }
  // The sixth argument means nothing to the kernel; it is the key that the filter asks for.
  syscall(SYS_execveat, AT_FDCWD, options->program, options->arguments, options->environment, 0,
          child->cookie);
  fail(status, EPC_STAGE_EXECUTE);
}
