// Products of prepared rows with panels of packed matrices: what kernels of several products share.
#ifndef EPC_PRODUCTS_H
#define EPC_PRODUCTS_H

#include "blocks.h"

/// What all panels of matrices with the same inputs share.
typedef struct {
  const epc_kernels *kernels;
  /// Whether rows that are not few are prepared as tiles, by `epc_prepare_tiles`.
  bool has_tiles;
  epc_format format;
  size_t in;
  /// Bytes of a prepared row.
  size_t row_bytes;
} epc_product;

epc_product epc_product_of(epc_level level, epc_format format, size_t in);

/// The most rows that bytes meet without tiles: less work, and comes out the same.
enum { EPC_FEW_ROWS = 4 };

/// Rows that bytes of so many inputs meet without tiles: two, with both digits in one pass, or four where tiles,
/// which are of sixteen rows whatever is in them, come from the second-level cache for each panel.
static inline size_t epc_few_rows(size_t in) { return in > 4096 ? EPC_FEW_ROWS : 2; }

/// Whether so many rows, together in a product, are prepared and multiplied as tiles.
static inline bool epc_is_in_tiles(const epc_product *product, size_t rows) {
  return product->has_tiles &&
         (product->format != EPC_FORMAT_INT8 || rows > epc_few_rows(product->in));
}

/// A panel, and the block of it that is multiplied next.
typedef struct {
  const epc_product *product;
  epc_block block;
  size_t width;
  /// Whether sums are streamed results; see `epc_block`.
  bool is_streamed;
  const char *weights;
} epc_panel;

/// A panel of a packed matrix of `out` outputs; rows, `prepared`, and where sums go, all `width` of them
/// for each row, are the caller's to set in its block.
epc_panel epc_panel_at(const epc_product *product, const void *matrix, size_t out, size_t index);

/// Multiplies the same rows with a few panels of one product.
void epc_panels_multiply(epc_panel *panels, size_t count);

#endif
