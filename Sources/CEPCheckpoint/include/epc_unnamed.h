// Files without a name, which are gone with the process that has them open, however that ends.
#ifndef EPC_UNNAMED_H
#define EPC_UNNAMED_H

/// Opens a new file in a folder for writing; -1, with `errno` set, where it cannot be or could not be named.
int epc_unnamed_open(const char *folder);

/// Gives such a file a name of its file system that is not taken; -1, with `errno` set, if that fails.
int epc_unnamed_link(int descriptor, const char *path);

#endif
