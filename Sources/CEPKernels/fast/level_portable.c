// Kernels for any processor.
#define LEVEL portable
#define TILE_VECTORS 1
#include "tiles.h"
