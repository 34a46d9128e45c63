import Glibc

/// A directory of sealed files: each carries a digest of its content, and one that is damaged or
/// half written counts as missing. Writing never fails loudly, since a cache is only a cache.
struct CacheDirectory {
  private static let magic = "epc-cache 1 "
  /// Larger than any entry that the loader's own limits let through.
  private static let entryLimit = 256 << 20

  /// Its absolute path.
  let path: String
  private let entries: Int

  /// The directory that the options and the environment ask for; nil if they name none.
  init?(options: ModelFileOptions) {
    let environment = options.environment
    if let chosen = options.cacheDirectory ?? environment["EPC_CACHE_DIR"] {
      path = chosen
    } else if let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") {
      path = base + "/epc"
    } else if let home = environment["HOME"], home.hasPrefix("/") {
      path = home + "/.cache/epc"
    } else {
      return nil
    }
    entries = max(options.cacheEntries, 1)
  }

  /// A directory inside it, made if need be; nil if that cannot be done.
  func subdirectory(_ name: String) -> String? {
    let directory = path + "/" + name
    guard (try? Files.makeDirectories(directory)) != nil else { return nil }
    return directory
  }

  /// The content of an entry, which is thereby the one used last; nil if there is no sound one.
  func read(_ kind: String, _ name: String) -> [UInt8]? {
    let file = "\(path)/\(kind)/\(name)"
    guard let bytes = try? Files.read(file, limit: Self.entryLimit),
      let end = bytes.firstIndex(of: UInt8(ascii: "\n"))
    else { return nil }
    let content = bytes[(end + 1)...]
    guard bytes[...end].elementsEqual(Self.header(for: content).utf8) else { return nil }
    unsafe utimensat(AT_FDCWD, file, nil, 0)
    return Array(content)
  }

  /// Writes an entry in one step, then removes the oldest ones above the bound.
  func write(_ kind: String, _ name: String, _ content: [UInt8]) {
    guard let directory = subdirectory(kind) else { return }
    let temporary = "\(directory)/.\(name).\(getpid()).\(UInt32.random(in: 0 ... .max))"
    let bytes = Array(Self.header(for: content[...]).utf8) + content
    guard (try? Files.create(temporary, bytes)) != nil else { return }
    guard unsafe rename(temporary, "\(directory)/\(name)") == 0 else {
      unsafe unlink(temporary)
      return
    }
    prune(directory)
  }

  private static func header(for content: ArraySlice<UInt8>) -> String {
    var digest = SHA256()
    digest.update(content)
    return magic + digest.hexadecimal() + "\n"
  }

  private func prune(_ directory: String) {
    let names = Files.names(in: directory)
    // A file that a killed process was still writing an hour ago will not be finished.
    let now = time(nil)
    for name in names where name.hasPrefix(".") {
      let file = directory + "/" + name
      if let found = Files.identity(file), found.modified < Int64(now) - 3_600 {
        unsafe unlink(file)
      }
    }
    var kept = names.filter { !$0.hasPrefix(".") }.compactMap {
      Files.identity(directory + "/" + $0)
    }
    guard kept.count > entries else { return }
    kept.sort {
      ($0.modified, $0.modifiedNanoseconds, $0.path) < (
        $1.modified, $1.modifiedNanoseconds, $1.path
      )
    }
    for file in kept.prefix(kept.count - entries) { unsafe unlink(file.path) }
  }
}
