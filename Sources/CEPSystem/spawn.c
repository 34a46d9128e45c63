// The parent's side: prepare, fork, watch until the program has ended, collect.

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// How often the end of a program is looked for on kernels without pidfds.
enum { EPC_POLL_MILLISECONDS = 5 };

struct run {
  const epc_spawn_options *options;
  epc_spawn_result *result;
  pid_t pid;
  int ruleset;
  int input;
  // Read ends here, write ends for the child.
  int output[2];
  int error[2];
  int status[2];
  int listener;
  int pidfd;
  struct epc_capture captured_output;
  struct epc_capture captured_error;
};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void close_once(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

static bool failed(struct run *run, epc_stage stage, int error) {
  run->result->stage = stage;
  run->result->stage_errno = error;
  return false;
}

static bool check(const epc_spawn_options *options) {
  return options->program != NULL && options->program[0] == '/' && options->arguments != NULL &&
         options->arguments[0] != NULL && options->environment != NULL &&
         (options->output_descriptor == 1 || options->output_descriptor == 3) &&
         options->wall_milliseconds > 0 && options->cpu_seconds > 0;
}

static bool prepare_landlock(struct run *run) {
  const epc_confinement *confinement = run->options->confinement;
  if (confinement == NULL) return true;
  const int abi = epc_landlock_abi();
  run->result->landlock_abi = abi;
  if (abi == 0) {
    return confinement->accept_missing_landlock || failed(run, EPC_STAGE_LANDLOCK, EOPNOTSUPP);
  }
  run->ruleset = epc_landlock_ruleset(confinement, abi);
  return run->ruleset >= 0 || failed(run, EPC_STAGE_LANDLOCK, errno);
}

static bool open_descriptors(struct run *run) {
  run->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (run->input < 0 || pipe2(run->output, O_CLOEXEC) != 0 || pipe2(run->error, O_CLOEXEC) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->status) != 0 ||
      fcntl(run->output[0], F_SETFL, O_NONBLOCK) != 0 ||
      fcntl(run->error[0], F_SETFL, O_NONBLOCK) != 0 ||
      fcntl(run->status[0], F_SETFL, O_NONBLOCK) != 0) {
    return failed(run, EPC_STAGE_RESOURCES, errno);
  }
  return true;
}

static bool start(struct run *run) {
  struct epc_child child = {
      .options = run->options,
      .parent = getpid(),
      .input = run->input,
      .output = run->output[1],
      .error = run->error[1],
      .status = run->status[1],
      .ruleset = run->ruleset,
      .cookie = 0,
  };
  if (getrandom(&child.cookie, sizeof child.cookie, 0) != (ssize_t)sizeof child.cookie) {
    return failed(run, EPC_STAGE_RESOURCES, errno);
  }
  // Blocked, so that no handler of the parent runs in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  run->pid = fork();
  const int error = errno;
  if (run->pid == 0) epc_child_main(&child);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (run->pid < 0) return failed(run, EPC_STAGE_FORK, error);

  close_once(&run->input);
  close_once(&run->output[1]);
  close_once(&run->error[1]);
  close_once(&run->status[1]);
  close_once(&run->ruleset);
#ifdef SYS_pidfd_open
  run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0u);
#endif
  return true;
}

/// Takes what the child said about its start, and the descriptor for reports of forbidden calls.
static void receive_status(struct run *run) {
  struct epc_child_message message = {0};
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
  const ssize_t count = recvmsg(run->status[0], &envelope, MSG_CMSG_CLOEXEC);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count != (ssize_t)sizeof message) {
    close_once(&run->status[0]);  // closed by exec, or by the child's end
    return;
  }
  const struct cmsghdr *header = CMSG_FIRSTHDR(&envelope);
  if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    close_once(&run->listener);
    memcpy(&run->listener, CMSG_DATA(header), sizeof run->listener);
  }
  if (message.stage != EPC_STAGE_RAN) failed(run, (epc_stage)message.stage, message.error);
}

static void kill_program(const struct run *run) {
  // Not reaped yet, so neither number can belong to anybody else.
  kill(-run->pid, SIGKILL);
  kill(run->pid, SIGKILL);
}

static void stop(struct run *run, epc_stop reason) {
  if (run->result->stop == EPC_STOP_NONE) run->result->stop = reason;
  kill_program(run);
}

static bool has_ended(const struct run *run) {
  siginfo_t information;
  information.si_pid = 0;
  // WNOWAIT keeps the number reserved until the rest of the group has been killed.
  const int answer = waitid(P_PID, (id_t)run->pid, &information, WEXITED | WNOHANG | WNOWAIT);
  if (answer != 0) return errno != EINTR;
  return information.si_pid == run->pid;
}

static void read_pipes(struct run *run) {
  if (run->output[0] >= 0 && !epc_capture_read(&run->captured_output, run->output[0])) {
    if (run->captured_output.exceeded) stop(run, EPC_STOP_OUTPUT_LIMIT);
    close_once(&run->output[0]);
  }
  if (run->error[0] >= 0 && !epc_capture_read(&run->captured_error, run->error[0])) {
    close_once(&run->error[0]);
  }
}

static void watch(struct run *run, uint64_t deadline) {
  for (;;) {
    const bool stopped = run->result->stop != EPC_STOP_NONE;
    enum { on_end, on_output, on_error, on_status, on_listener, on_interrupt, count };
    struct pollfd waits[count] = {
        [on_end] = {.fd = run->pidfd, .events = POLLIN},
        [on_output] = {.fd = run->output[0], .events = POLLIN},
        [on_error] = {.fd = run->error[0], .events = POLLIN},
        [on_status] = {.fd = run->status[0], .events = POLLIN},
        [on_listener] = {.fd = run->listener, .events = POLLIN},
        // Stays readable, so it is looked at once only.
        [on_interrupt] = {.fd = stopped ? -1 : run->options->interrupt_descriptor,
                          .events = POLLIN},
    };
    const uint64_t time = now();
    uint64_t left = deadline > time ? (deadline - time) / 1000000 + 1 : 0;
    if (stopped) left = 1000;  // it is being killed; nothing else is awaited
    if (run->pidfd < 0 && left > EPC_POLL_MILLISECONDS) left = EPC_POLL_MILLISECONDS;
    const int ready = poll(waits, count, left > INT32_MAX ? INT32_MAX : (int)left);
    if (ready < 0 && errno != EINTR) stop(run, EPC_STOP_WALL_CLOCK);

    if (ready > 0) {
      if (waits[on_status].revents != 0) receive_status(run);
      if (waits[on_listener].revents & POLLIN) {
        const int call = epc_seccomp_reported_call(run->listener);
        if (call >= 0) {
          if (run->result->denied_call < 0) run->result->denied_call = call;
          stop(run, EPC_STOP_DENIED_CALL);
        }
      } else if (waits[on_listener].revents != 0) {
        close_once(&run->listener);
      }
      if (waits[on_interrupt].revents != 0) stop(run, EPC_STOP_INTERRUPT);
      read_pipes(run);
    }
    if (has_ended(run)) return;
    if (now() >= deadline && !stopped) stop(run, EPC_STOP_WALL_CLOCK);
  }
}

/// What is left in the pipes once nobody writes any more.
static void drain(struct run *run) {
  if (run->status[0] >= 0) receive_status(run);
  for (int round = 0; round < 4096 && (run->output[0] >= 0 || run->error[0] >= 0); round++) {
    const size_t before = run->captured_output.size + run->captured_error.size;
    read_pipes(run);
    if (run->captured_output.size + run->captured_error.size == before) break;
  }
}

static bool reap(struct run *run) {
  int status = 0;
  struct rusage usage;
  pid_t answer;
  do {
    answer = wait4(run->pid, &status, 0, &usage);
  } while (answer < 0 && errno == EINTR);
  if (answer != run->pid) return failed(run, EPC_STAGE_WAIT, errno);
  const uint64_t seconds = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
  const uint64_t micros = (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
  run->result->cpu_nanoseconds = seconds * UINT64_C(1000000000) + micros * UINT64_C(1000);
  if (WIFEXITED(status)) run->result->exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) run->result->signal = WTERMSIG(status);
  return true;
}

static void hand_over(struct run *run) {
  epc_spawn_result *result = run->result;
  epc_capture_finish(&run->captured_error);
  result->output = run->captured_output.bytes;
  result->output_size = run->captured_output.size;
  result->error = run->captured_error.bytes;
  result->error_size = run->captured_error.size;
  result->error_truncated = run->captured_error.exceeded;
  if (run->captured_output.failed || run->captured_error.failed) {
    failed(run, EPC_STAGE_RESOURCES, ENOMEM);
  }
}

bool epc_spawn(const epc_spawn_options *options, epc_spawn_result *result) {
  memset(result, 0, sizeof *result);
  result->exit_status = -1;
  result->denied_call = -1;
  struct run run = {
      .options = options,
      .result = result,
      .pid = -1,
      .ruleset = -1,
      .input = -1,
      .output = {-1, -1},
      .error = {-1, -1},
      .status = {-1, -1},
      .listener = -1,
      .pidfd = -1,
      .captured_output = {.limit = options->output_limit},
      .captured_error = {.limit = options->error_limit, .keeps_tail = true},
  };
  const uint64_t begin = now();
  if (!check(options)) {
    failed(&run, EPC_STAGE_ARGUMENTS, EINVAL);
  } else if (prepare_landlock(&run) && open_descriptors(&run) && start(&run)) {
    watch(&run, begin + (uint64_t)options->wall_milliseconds * UINT64_C(1000000));
    kill_program(&run);
    // A confined program cannot have started any.
    if (options->confinement == NULL) epc_session_kill(run.pid);
    drain(&run);
    reap(&run);
  }
  hand_over(&run);
  result->wall_nanoseconds = now() - begin;

  int *descriptors[] = {&run.ruleset,  &run.input,     &run.output[0], &run.output[1],
                        &run.error[0], &run.error[1],  &run.status[0], &run.status[1],
                        &run.listener, &run.pidfd};
  for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
    close_once(descriptors[i]);
  }
  return result->stage == EPC_STAGE_RAN;
}

void epc_spawn_result_free(epc_spawn_result *result) {
  free(result->output);
  free(result->error);
  result->output = NULL;
  result->error = NULL;
  result->output_size = 0;
  result->error_size = 0;
}
