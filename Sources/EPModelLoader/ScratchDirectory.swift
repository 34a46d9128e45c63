import Glibc

/// A private temporary directory, which its maker removes.
struct ScratchDirectory {
  /// Its absolute path.
  let path: String

  init(environment: [String: String]) throws(ModelLoadError) {
    var parent = environment["TMPDIR"] ?? "/tmp"
    if !parent.hasPrefix("/") { parent = "/tmp" }
    var template = Array("\(parent)/epc-model-XXXXXX".utf8CString)
    let made = unsafe template.withUnsafeMutableBufferPointer { buffer -> String? in
      guard let base = buffer.baseAddress, let name = unsafe mkdtemp(base) else { return nil }
      return unsafe String(cString: name)
    }
    guard let made else { throw .noScratch(parent, errno: errno) }
    path = made
  }

  /// Writes a file in it and returns the path.
  func write(_ name: String, _ text: String) throws(ModelLoadError) -> String {
    let file = path + "/" + name
    do throws(Files.Failure) {
      try Files.create(file, Array(text.utf8))
    } catch {
      throw .noScratch(file, errno: error.code)
    }
    return file
  }

  /// Removes it with all that is in it.
  func remove() { Files.remove(path) }
}
