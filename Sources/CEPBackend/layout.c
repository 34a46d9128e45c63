// Where the structs of each version end, where pointers take 8 bytes. None of this ever changes: what
// a later version adds to a struct comes behind, and gets a line of its own.
#include "epc_backend.h"

#define ENDS(type, field, bytes) \
  EPC_STATIC_ASSERT( \
      sizeof(void *) != 8 || offsetof(type, field) + sizeof(((type *)0)->field) == (bytes), \
      #type " ends with " #field " at " #bytes " bytes")

// 1.0

ENDS(epc_error, release, 40);
ENDS(epc_axis, size, 32);
ENDS(epc_type, row_elements, 56);
ENDS(epc_attribute, texts, 80);
ENDS(epc_operand, type, 40);
ENDS(epc_operation, expert_slots, 80);
ENDS(epc_span, cache_widths, 64);
ENDS(epc_run, spans, 144);
ENDS(epc_host, is_cancelled, 56);
ENDS(epc_backend, release, 96);

// 1.1
ENDS(epc_group, members, 40);
ENDS(epc_port, value, 32);
ENDS(epc_cache, part_widths, 40);
ENDS(epc_planned_operation, is_exchange, 80);
ENDS(epc_schedule, lower_bound, 80);
ENDS(epc_function, schedule, 152);
ENDS(epc_placement, splits_batches, 56);
ENDS(epc_weight, experts, 72);
ENDS(epc_call, placement, 48);
ENDS(epc_program_issue, operation, 40);
ENDS(epc_phase, issues, 32);
ENDS(epc_program, phases, 208);
ENDS(epc_batch, arena, 64);
ENDS(epc_step, batches, 40);
ENDS(epc_rank_host, hold, 64);
ENDS(epc_backend, close_program, 120);
