// Functions compiled for wider vectors too; the machine's are chosen when the program is loaded.
#ifndef EPC_SIMULATION_WIDE_H
#define EPC_SIMULATION_WIDE_H

// Sanitizers do not follow a choice that is made while the program is loaded.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define EPC_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EPC_WIDE
#endif

#endif
