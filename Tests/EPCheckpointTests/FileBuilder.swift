import Glibc

/// A folder for the files of one test, removed with the last reference to it.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/epc-checkpoint-XXXXXX".utf8CString)
    guard let made = unsafe mkdtemp(&template) else { throw BuilderError.system(errno) }
    path = unsafe String(cString: made)
  }

  deinit {
    if let folder = unsafe opendir(path) {
      let names = unsafe names(in: folder)
      for name in names { unsafe _ = unlink("\(path)/\(name)") }
      unsafe _ = closedir(folder)
    }
    unsafe _ = rmdir(path)
  }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = "\(path)/\(name)"
    let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw BuilderError.system(errno) }
    defer { close(descriptor) }
    let written = unsafe Glibc.write(descriptor, bytes, bytes.count)
    guard written == bytes.count else { throw BuilderError.system(errno) }
    return file
  }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }
}

enum BuilderError: Error { case system(Int32) }

/// The names that an unfinished writer of `path` would leave behind.
func temporaryFiles(beside path: String) throws -> [String] {
  let parts = path.split(separator: "/").map(String.init)
  guard let name = parts.last,
    let folder = unsafe opendir("/" + parts.dropLast().joined(separator: "/"))
  else { throw BuilderError.system(errno) }
  defer { unsafe _ = closedir(folder) }
  return unsafe names(in: folder).filter { $0.hasPrefix(name + ".") }
}

/// The names in an open folder, those of the folder itself and its parent left out.
func names(in folder: OpaquePointer) -> [String] {
  var found: [String] = []
  while let entry = unsafe readdir(folder) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
      unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
    }
    if name != "." && name != ".." { found.append(name) }
  }
  return found.sorted()
}

/// A tensor of a file to be, of any type, right or wrong.
struct RawEntry {
  var name: String
  var type: String
  var shape: [Int]
  var bytes: [UInt8]

  init(_ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]) {
    self.name = name
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  init(_ name: String, _ shape: [Int], _ values: [Float]) {
    self.init(name, "F32", shape, values.flatMap { littleEndian($0.bitPattern) })
  }
}

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
  (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// A safetensors file of any header, written out by hand.
func safetensors(header: String, data: [UInt8]) -> [UInt8] {
  littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data
}

/// A safetensors file that holds the entries one after the other.
func safetensors(_ entries: [RawEntry]) -> [UInt8] {
  var data: [UInt8] = []
  var fields: [String] = []
  for entry in entries {
    let shape = entry.shape.map(String.init).joined(separator: ",")
    fields.append(
      #""\#(entry.name)":{"dtype":"\#(entry.type)","shape":[\#(shape)],"#
        + #""data_offsets":[\#(data.count),\#(data.count + entry.bytes.count)]}"#)
    data += entry.bytes
  }
  return safetensors(header: "{\(fields.joined(separator: ","))}", data: data)
}

/// SplitMix64: the same numbers for the same seed everywhere.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
