public import EPIR
internal import EPJSON
internal import Glibc

/// The hardware descriptions that are installed: one JSON file each, in one or more folders.
public struct HardwareCatalog: Sendable {
  /// The folders, searched in order.
  public var folders: [String]

  /// Makes a catalog of the given folders.
  public init(folders: [String]) { self.folders = folders }

  /// The folders of `EPC_HARDWARE_PATH` (separated by colons), then the one beside the executable:
  /// `../share/epc/hardware` of an installed one, `plugins/hardware` above one in a build folder.
  public static func standard(
    environment: [String: String], executable: String
  ) -> HardwareCatalog {
    var folders =
      environment["EPC_HARDWARE_PATH"]?.split(separator: ":").map(String.init) ?? []
    var folder = executable
    for depth in 0..<8 {
      guard let slash = folder.lastIndex(of: "/"), slash != folder.startIndex else { break }
      folder = String(folder[..<slash])
      if depth < 2 { folders.append(folder + "/share/epc/hardware") }
      folders.append(folder + "/plugins/hardware")
    }
    return HardwareCatalog(folders: folders)
  }

  /// The names of all descriptions, ascending.
  public var names: [String] {
    var names: Set<String> = []
    for folder in folders {
      for file in HardwareCatalog.files(in: folder, ending: ".json") {
        names.insert(String(file.dropLast(5)))
      }
    }
    return names.sorted()
  }

  /// The names of a folder's files with that ending, ascending; none where it cannot be read.
  static func files(in folder: String, ending: String) -> [String] {
    guard let directory = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name.hasSuffix(ending) { names.append(name) }
    }
    return names.sorted()
  }

  /// The folders of calibration files: `calibration` beside each folder of descriptions.
  public var calibrationFolders: [String] {
    folders.map { folder in
      folder.hasSuffix("/hardware")
        ? String(folder.dropLast("/hardware".count)) + "/calibration" : folder + "/calibration"
    }
  }

  /// The description of that name.
  public func hardware(named name: String) throws(Diagnostics) -> Hardware {
    let isName = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        return true
      default: return false
      }
    }
    for folder in folders where isName && !name.isEmpty {
      let path = "\(folder)/\(name).json"
      if unsafe access(path, R_OK) != 0 { continue }
      do {
        let bytes = try JSONFile.read(path, maxBytes: 1 << 20)
        return try Hardware(json: JSONNode(try JSONValue.parse(bytes: bytes)))
      } catch {
        throw Diagnostics("hardware-file", error.description, at: error.file == nil ? path : "")
      }
    }
    let known = names
    throw Diagnostics(
      "unknown-hardware",
      "no hardware is called '\(name)'; known are \(known.joined(separator: ", ")), and a file in "
        + "a folder of EPC_HARDWARE_PATH adds one")
  }

  /// The cluster that a flag names: `h200:32`, or a JSON file.
  public func cluster(_ text: String) throws(Diagnostics) -> Cluster {
    if text.hasSuffix(".json") || text.contains("/") {
      let node: JSONNode
      do {
        node = JSONNode(
          try JSONValue.parse(bytes: try JSONFile.read(text, maxBytes: 1 << 20)))
      } catch {
        throw Diagnostics("cluster-file", error.description, at: error.file == nil ? text : "")
      }
      return try Cluster(json: node, catalog: self)
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, let devices = Int(parts[1]), devices > 0, devices <= 1 << 20 else {
      throw Diagnostics(
        "cluster-name",
        "'\(text)' is no cluster; write NAME:DEVICES such as h200:32, or a JSON file")
    }
    return Cluster(try hardware(named: parts[0]), devices: devices)
  }
}
