import Glibc

/// Small pieces of file access, with `errno` values as errors.
enum Files {
  /// A call that failed, by its `errno`.
  struct Failure: Error {
    let code: Int32

    /// The failure of the call just made.
    static var last: Failure { Failure(code: errno) }
  }

  /// What tells one state of a file from another without reading it.
  struct Identity: Equatable {
    let path: String
    let device: UInt64
    let inode: UInt64
    let size: Int64
    let modified: Int64
    let modifiedNanoseconds: Int64
    let mode: UInt32

    var isRegular: Bool { mode & S_IFMT == S_IFREG }
    var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
  }

  /// Looks at a file, following links; nil if there is none.
  static func identity(_ path: String) -> Identity? {
    var information = stat()
    guard unsafe stat(path, &information) == 0 else { return nil }
    return Identity(path: path, information)
  }

  /// Reads a regular file of at most `limit` bytes; `EFBIG` if it is larger.
  static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
    // Not blocking, so that a FIFO cannot hang us before it is found not to be a file.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .last }
    defer { close(descriptor) }
    var information = stat()
    guard unsafe fstat(descriptor, &information) == 0 else { throw .last }
    let identity = Identity(path: path, information)
    guard !identity.isDirectory else { throw Failure(code: EISDIR) }
    guard identity.isRegular else { throw Failure(code: EINVAL) }
    guard identity.size <= limit else { throw Failure(code: EFBIG) }

    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(identity.size) + 1)
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .last }
      if count == 0 { return bytes }
      guard bytes.count + count <= limit else { throw Failure(code: EFBIG) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Writes a new file, readable by its owner only; `EEXIST` if there is one.
  static func create(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .last }
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(
          descriptor, $0.baseAddress.map { unsafe $0 + written }, bytes.count - written)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let failure = Failure.last
        close(descriptor)
        unsafe unlink(path)
        throw failure
      }
      written += count
    }
    guard close(descriptor) == 0 else { throw .last }
  }

  /// Makes a directory and those above it, for its owner only.
  static func makeDirectories(_ path: String) throws(Failure) {
    if let present = identity(path), present.isDirectory { return }
    let parent = directory(of: path)
    if parent != path { try makeDirectories(parent) }
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last }
  }

  /// The names in a directory, sorted; none if it cannot be read.
  static func names(in path: String) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file or a directory with all that is in it; links are not followed.
  static func remove(_ path: String) {
    if unsafe unlink(path) == 0 || errno == ENOENT { return }
    for name in names(in: path) { remove(path + "/" + name) }
    unsafe rmdir(path)
  }

  /// Everything before the last slash of an absolute path.
  static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The path with all links resolved; nil if there is nothing.
  static func resolved(_ path: String) -> String? {
    guard let buffer = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(buffer) }
    return unsafe String(cString: buffer)
  }

  /// The text of an `errno` value.
  static func text(_ code: Int32) -> String {
    unsafe String(cString: strerror(code))
  }
}

extension Files.Identity {
  init(path: String, _ information: stat) {
    self.path = path
    device = UInt64(information.st_dev)
    inode = UInt64(information.st_ino)
    size = Int64(information.st_size)
    modified = Int64(information.st_mtim.tv_sec)
    modifiedNanoseconds = Int64(information.st_mtim.tv_nsec)
    mode = UInt32(information.st_mode)
  }
}
