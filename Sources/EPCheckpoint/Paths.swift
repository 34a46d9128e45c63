import Glibc

/// Whether `path` is a folder, or a link to one.
func isFolder(_ path: String) throws(CheckpointError) -> Bool {
  var status = stat()
  guard unsafe stat(path, &status) == 0 else {
    throw .system(operation: "open", file: path, code: errno)
  }
  return status.st_mode & S_IFMT == S_IFDIR
}

/// Whether there is anything at `path`, as far as this process may know.
func exists(_ path: String) throws(CheckpointError) -> Bool {
  var status = stat()
  if unsafe stat(path, &status) == 0 { return true }
  guard errno == ENOENT else { throw .system(operation: "open", file: path, code: errno) }
  return false
}
