// Ends all processes of a session. A group is not enough: swiftc puts each of its own children into a
// group of its own, and they outlive it.

#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// The session of a process that has not ended, or -1.
static pid_t session_of(const char *number) {
  char path[64];
  const int length = snprintf(path, sizeof path, "/proc/%s/stat", number);
  if (length < 0 || (size_t)length >= sizeof path) return -1;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char text[512];
  const ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  if (count <= 0) return -1;
  text[count] = '\0';
  // "number (name) state parent group session ..."; the name may hold anything, even parentheses.
  const char *rest = strrchr(text, ')');
  char state;
  long parent, group, session;
  if (rest == NULL || sscanf(rest + 1, " %c %ld %ld %ld", &state, &parent, &group, &session) != 4) {
    return -1;
  }
  return state == 'Z' || state == 'X' ? -1 : (pid_t)session;
}

void epc_session_kill(pid_t session) {
  // Again until none is left, since one may have started another while the list was read.
  for (int round = 0; round < 100; round++) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) return;
    bool found = false;
    for (struct dirent *entry = readdir(processes); entry != NULL; entry = readdir(processes)) {
      if (!isdigit((unsigned char)entry->d_name[0]) || session_of(entry->d_name) != session) continue;
      found = true;
      kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    closedir(processes);
    if (!found) return;
  }
}
