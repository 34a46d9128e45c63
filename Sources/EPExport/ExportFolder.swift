public import EPIR
internal import EPJSON
internal import Glibc

/// Writes a folder whole or not at all.
public enum ExportFolder {
  /// Puts the files into a new folder at `path`.
  ///
  /// They go to a folder beside it, which is renamed when it is complete. A folder that is there
  /// already is replaced if it holds nothing but files of the same names; anything else is refused.
  public static func write(
    _ files: [ExportBundle.File], to path: String
  ) throws(Diagnostics) {
    var target = path
    while target.count > 1 && target.hasSuffix("/") { target.removeLast() }
    guard !target.isEmpty, target != "/", !target.utf8.contains(0) else {
      throw Diagnostics("export-folder", "'\(path)' is no folder to write to")
    }
    let old = try contents(of: target)
    let names = Set(files.map(\.name))
    if let stranger = old?.first(where: { !names.contains($0) }) {
      throw Diagnostics(
        "export-folder",
        "the folder holds '\(stranger)', which is none of this export's files; "
          + "name a new folder", at: target)
    }
    let temporary = "\(target).epc-\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
    if unsafe mkdir(temporary, 0o755) != 0 { throw failure("cannot be made", target) }
    do throws(Diagnostics) {
      for file in files {
        let name = temporary + "/" + file.name
        do { try JSONFile.write(file.bytes, to: name) } catch {
          throw Diagnostics("export-folder", "cannot be written: \(error.message)", at: target)
        }
        if file.name.hasSuffix(".sh") { unsafe _ = chmod(name, 0o755) }
      }
      if let old { try remove(old, from: target) }
      if unsafe rename(temporary, target) != 0 { throw failure("cannot be written", target) }
    } catch {
      for file in files { unsafe _ = unlink(temporary + "/" + file.name) }
      unsafe _ = rmdir(temporary)
      throw error
    }
  }

  /// The names in a folder; nil where nothing is at the path.
  private static func contents(of path: String) throws(Diagnostics) -> [String]? {
    guard let folder = unsafe opendir(path) else {
      if errno == ENOENT { return nil }
      throw failure("cannot be read", path)
    }
    defer { unsafe _ = closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes an earlier export's folder, which holds files alone.
  private static func remove(_ names: [String], from path: String) throws(Diagnostics) {
    for name in names where unsafe unlink(path + "/" + name) != 0 {
      throw failure("holds '\(name)', which cannot be replaced", path)
    }
    if unsafe rmdir(path) != 0 { throw failure("cannot be replaced", path) }
  }

  private static func failure(_ what: String, _ path: String) -> Diagnostics {
    let reason = unsafe String(cString: strerror(errno))
    return Diagnostics("export-folder", "\(what): \(reason)", at: path)
  }
}
