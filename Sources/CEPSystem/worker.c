#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/epc_worker.h"

pid_t epc_worker_spawn(
    const char *program, const char *const *arguments, const char *const *environment,
    int shared) {
  posix_spawn_file_actions_t actions;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) {
    errno = error;
    return -1;
  }
  pid_t worker = -1;
  error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!error) {
    error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  }
  // Also where both are the same: the copy is not closed by the program's start.
  if (!error) error = posix_spawn_file_actions_adddup2(&actions, shared, EPC_WORKER_DESCRIPTOR);
  if (!error) {
    error = posix_spawn_file_actions_addclosefrom_np(&actions, EPC_WORKER_DESCRIPTOR + 1);
  }
  if (!error) {
    error = posix_spawn(
        &worker, program, &actions, NULL, (char *const *)(uintptr_t)arguments,
        (char *const *)(uintptr_t)environment);
  }
  posix_spawn_file_actions_destroy(&actions);
  if (error) {
    errno = error;
    return -1;
  }
  return worker;
}

bool epc_worker_bind(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL)) return false;
  return getppid() == parent;
}

bool epc_worker_ended(pid_t worker, int *exit_status, int *signal) {
  int status = 0;
  pid_t ended;
  do ended = waitpid(worker, &status, WNOHANG);
  while (ended < 0 && errno == EINTR);
  if (ended == 0) return false;
  *exit_status = ended == worker && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  *signal = ended == worker && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return true;
}

void epc_worker_kill(pid_t worker) {
  kill(worker, SIGKILL);
  while (waitpid(worker, NULL, 0) < 0 && errno == EINTR) {}
}
