// Where the structs of version 1.0 end, where pointers take 8 bytes. None of this ever changes: what
// a later version adds to a struct comes behind, and gets a line of its own.
#include "epc_backend.h"

#define ENDS(type, field, bytes) \
  EPC_STATIC_ASSERT( \
      sizeof(void *) != 8 || offsetof(type, field) + sizeof(((type *)0)->field) == (bytes), \
      #type " of 1.0 is " #bytes " bytes")

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
