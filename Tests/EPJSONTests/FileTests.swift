import EPJSON
import Glibc
import Testing

@Suite(.serialized) struct FileTests {
  /// A folder that is removed after `body`.
  private func withFolder(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/epjson.XXXXXX".utf8CString)
    let folder = try #require(unsafe mkdtemp(&template).map { unsafe String(cString: $0) })
    defer {
      for name in names(in: folder) { unsafe _ = remove("\(folder)/\(name)") }
      unsafe _ = rmdir(folder)
    }
    try body(folder)
  }

  private func names(in folder: String) -> [String] {
    guard let stream = unsafe opendir(folder) else { return [] }
    defer { unsafe _ = closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: entry.pointee.d_name) { field in
        unsafe String(cString: UnsafeRawPointer(field).assumingMemoryBound(to: CChar.self))
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  private func mode(of path: String) -> mode_t {
    var status = stat()
    unsafe _ = lstat(path, &status)
    return status.st_mode
  }

  @Test func writesReplaceTheWholeFile() throws {
    try withFolder { folder in
      let path = "\(folder)/plan.json"
      for size in [0, 1, 300_000, 5] {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        try JSONFile.write(bytes, to: path)
        #expect(try JSONFile.read(path) == bytes)
      }
      #expect(names(in: folder) == ["plan.json"])
      #expect(mode(of: path) == S_IFREG | 0o644)
    }
  }

  @Test func umaskIsHonoured() throws {
    let old = umask(0o077)
    defer { umask(old) }
    try withFolder { folder in
      try JSONFile.write([1], to: "\(folder)/a")
      #expect(mode(of: "\(folder)/a") == S_IFREG | 0o600)
    }
  }

  @Test func readersOfTheOldFileKeepIt() throws {
    try withFolder { folder in
      let path = "\(folder)/a"
      try JSONFile.write([1, 2, 3], to: path)
      let file = unsafe open(path, O_RDONLY)
      defer { close(file) }
      try JSONFile.write([9], to: path)
      var old = [UInt8](repeating: 0, count: 8)
      #expect(unsafe read(file, &old, 8) == 3 && old[..<3] == [1, 2, 3])
    }
  }

  @Test func failuresLeaveNothingBehind() throws {
    try withFolder { folder in
      // The temporary file can be made, but it cannot take this name.
      let path = "\(folder)/\(String(repeating: "x", count: 300))"
      let error = error { () throws(JSONError) in try JSONFile.write([1, 2, 3], to: path) }
      #expect(error.description == "\(path): cannot write the file: File name too long")
      #expect(names(in: folder).isEmpty)
    }
  }

  @Test func aFullDiskIsReported() {
    let error = error { () throws(JSONError) in try JSONFile.write([1], to: "/dev/full") }
    #expect(error.description == "/dev/full: cannot write the file: No space left on device")
  }

  @Test func foldersAndMissingFilesAreNamed() throws {
    try withFolder { folder in
      let none = "\(folder)/no/such"
      for (text, body) in [
        (
          "\(none): cannot open the file: No such file or directory",
          { _ = try JSONFile.read(none) }
        ),
        (
          "\(none): cannot create the file: No such file or directory",
          { try JSONFile.write([], to: none) }
        ),
        ("\(folder): cannot read the file: Is a directory", { _ = try JSONFile.read(folder) }),
        ("\(folder): cannot open the file: Is a directory", { try JSONFile.write([], to: folder) }),
        ("a\\u0000b: a path cannot hold U+0000", { try JSONFile.write([], to: "a\0b") }),
      ] as [(String, () throws -> Void)] {
        #expect {
          try body()
        } throws: {
          ($0 as? JSONError)?.description == text
        }
      }
      #expect(names(in: folder).isEmpty)
    }
  }

  @Test func largeFilesAreRefused() throws {
    try withFolder { folder in
      let path = "\(folder)/a"
      try JSONFile.write([1, 2, 3, 4], to: path)
      #expect(try JSONFile.read(path, maxBytes: 4).count == 4)
      let error = error { () throws(JSONError) in _ = try JSONFile.read(path, maxBytes: 3) }
      #expect(error.description == "\(path): the file is longer than 3 bytes")
      #expect(throws: JSONError.self) { try JSONFile.read("/dev/zero", maxBytes: 1 << 20) }
    }
  }

  @Test func linksAreFollowedAndDevicesKept() throws {
    try withFolder { folder in
      try JSONFile.write([1], to: "\(folder)/real")
      unsafe _ = symlink("real", "\(folder)/link")
      try JSONFile.write([2], to: "\(folder)/link")
      #expect(try JSONFile.read("\(folder)/real") == [2])
      #expect(mode(of: "\(folder)/link") & S_IFMT == S_IFLNK)
      try JSONFile.write([1, 2, 3], to: "/dev/null")
      #expect(mode(of: "/dev/null") & S_IFMT == S_IFCHR)
    }
  }
}
