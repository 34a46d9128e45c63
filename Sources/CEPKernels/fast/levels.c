// Which kernels this machine can run.
#include "epc_fast.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/// Linux hands out the tile registers on request (arch_prctl, ARCH_REQ_XCOMP_PERM).
static bool may_use_tiles(void) {
  const long request = 0x1023;
  const long tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

epc_level epc_level_best(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return EPC_LEVEL_PORTABLE;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return EPC_LEVEL_AVX2;
  }
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) {
    return EPC_LEVEL_AVX512;
  }
  if (!__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("amx-tile") ||
      !__builtin_cpu_supports("amx-bf16") || !__builtin_cpu_supports("amx-int8") ||
      !may_use_tiles()) {
    return EPC_LEVEL_VNNI;
  }
  return EPC_LEVEL_AMX;
}
#else
epc_level epc_level_best(void) { return EPC_LEVEL_PORTABLE; }
#endif
