// Landlock through raw system calls, with own definitions: libc has no wrappers, and the headers of
// an older system would leave out rights that a newer kernel can take away.

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The numbers are the same on every architecture.
#define EPC_SYS_LANDLOCK_CREATE_RULESET 444
#define EPC_SYS_LANDLOCK_ADD_RULE 445
#define EPC_SYS_LANDLOCK_RESTRICT_SELF 446

#define EPC_CREATE_RULESET_VERSION 1u
#define EPC_RULE_PATH_BENEATH 1

#define EPC_ACCESS_EXECUTE (UINT64_C(1) << 0)
#define EPC_ACCESS_READ_FILE (UINT64_C(1) << 2)

struct epc_ruleset_attributes {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};

struct epc_path_beneath {
  uint64_t allowed_access;
  int32_t parent_fd;
} __attribute__((packed));

int epc_landlock_abi(void) {
  const long abi =
      syscall(EPC_SYS_LANDLOCK_CREATE_RULESET, NULL, (size_t)0, EPC_CREATE_RULESET_VERSION);
  return abi > 0 ? (int)abi : 0;
}

/// Every right that this ABI knows: what is not granted by a rule is then denied.
static struct epc_ruleset_attributes everything(int abi) {
  struct epc_ruleset_attributes attributes = {0};
  attributes.handled_access_fs = (UINT64_C(1) << 13) - 1;             // execute ... make symlink
  if (abi >= 2) attributes.handled_access_fs |= UINT64_C(1) << 13;    // link or rename elsewhere
  if (abi >= 3) attributes.handled_access_fs |= UINT64_C(1) << 14;    // truncate
  if (abi >= 5) attributes.handled_access_fs |= UINT64_C(1) << 15;    // ioctl on devices
  if (abi >= 4) attributes.handled_access_net = 3;                    // bind and connect TCP
  if (abi >= 6) attributes.scoped = 3;  // abstract sockets and signals outside the sandbox
  return attributes;
}

static size_t attributes_size(int abi) {
  if (abi >= 6) return sizeof(struct epc_ruleset_attributes);
  if (abi >= 4) return offsetof(struct epc_ruleset_attributes, scoped);
  return offsetof(struct epc_ruleset_attributes, handled_access_net);
}

/// Adds a rule for each path that exists.
static bool allow(int ruleset, const char *const *paths, uint64_t access) {
  for (size_t i = 0; paths != NULL && paths[i] != NULL; i++) {
    const int path = open(paths[i], O_PATH | O_CLOEXEC);
    if (path < 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) continue;
      return false;
    }
    const struct epc_path_beneath rule = {.allowed_access = access, .parent_fd = path};
    const long added =
        syscall(EPC_SYS_LANDLOCK_ADD_RULE, ruleset, EPC_RULE_PATH_BENEATH, &rule, 0u);
    const int error = errno;
    close(path);
    if (added != 0) {
      errno = error;
      return false;
    }
  }
  return true;
}

int epc_landlock_ruleset(const epc_confinement *confinement, int abi) {
  const struct epc_ruleset_attributes attributes = everything(abi);
  const long created =
      syscall(EPC_SYS_LANDLOCK_CREATE_RULESET, &attributes, attributes_size(abi), 0u);
  if (created < 0) return -1;
  const int ruleset = (int)created;  // closed on exec by the kernel's own doing
  if (allow(ruleset, confinement->readable, EPC_ACCESS_READ_FILE) &&
      allow(ruleset, confinement->executable, EPC_ACCESS_READ_FILE | EPC_ACCESS_EXECUTE)) {
    return ruleset;
  }
  const int error = errno;
  close(ruleset);
  errno = error;
  return -1;
}

int epc_landlock_restrict(int ruleset) {
  return (int)syscall(EPC_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0u);
}
