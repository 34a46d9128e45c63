import Glibc

/// The text of a model file and the path that its diagnostics show.
///
/// Lines `// with: PATH` before anything but comments name further files, beside it unless the path is
/// absolute: modules that several models use.
struct ModelSource {
  /// The path as the user wrote it.
  let path: String
  let text: String
  /// The files that the model file names.
  let modules: [ModelSource]
  private let limit: Int

  init(path: String, limit: Int) throws(ModelLoadError) {
    try self.init(path: path, limit: limit, readsModules: true)
  }

  private init(path: String, limit: Int, readsModules: Bool) throws(ModelLoadError) {
    let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard name.hasSuffix(".swift") else { throw .unusableName(path, .notSwift) }
    // The generated entry point has this name; the compiler does not take two of one name.
    guard name != "main.swift" else { throw .unusableName(path, .main) }
    let bytes: [UInt8]
    do throws(Files.Failure) {
      bytes = try Files.read(path, limit: limit)
    } catch {
      if error.code == EFBIG { throw .sourceTooLarge(path, limit: limit) }
      throw .unreadable(path, errno: error.code)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8(path) }
    self.path = path
    self.text = text
    self.limit = limit
    var modules: [ModelSource] = []
    for name in readsModules ? ModelSource.modules(namedIn: text) : [] {
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      modules.append(
        try ModelSource(
          path: name.hasPrefix("/") ? name : folder + name, limit: limit, readsModules: false))
    }
    self.modules = modules
  }

  /// What lines `// with: PATH` at the start of a file name.
  private static func modules(namedIn text: String) -> [String] {
    var names: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.drop { $0 == " " || $0 == "\t" }
      if !words.isEmpty && !words.hasPrefix("//") { break }
      guard words.hasPrefix("// with: ") else { continue }
      let name = words.dropFirst("// with: ".count)
      let end = name.lastIndex { $0 != " " && $0 != "\r" && $0 != "\t" }
      if let end { names.append(String(name[...end])) }
    }
    return names
  }

  /// The path as an argument of the compiler, which takes `-x` for an option and `@x` for a list. It drops
  /// a `./` before it hands `-x` to its parts, so that of such a name the whole path is given.
  var argument: String {
    let isOption = !path.hasPrefix("/") && path.split(separator: "/").last?.hasPrefix("-") == true
    if isOption, let folder = Files.resolved(".") { return folder + "/" + path }
    return path.hasPrefix("@") ? "./" + path : path
  }

  /// Whether the file still holds `text`: the compiler reads it again, after the key was made.
  var isUnchanged: Bool {
    guard let bytes = try? Files.read(path, limit: limit) else { return false }
    return bytes.elementsEqual(text.utf8) && modules.allSatisfy(\.isUnchanged)
  }
}
