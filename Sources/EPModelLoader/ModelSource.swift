import Glibc

/// The text of a model file and the path that its diagnostics show.
struct ModelSource {
  /// The path as the user wrote it.
  let path: String
  let text: String
  private let limit: Int

  init(path: String, limit: Int) throws(ModelLoadError) {
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
  }

  /// The path as an argument of the compiler, which takes `-x` for an option and `@x` for a list.
  var argument: String {
    path.hasPrefix("-") || path.hasPrefix("@") ? "./" + path : path
  }

  /// Whether the file still holds `text`: the compiler reads it again, after the key was made.
  var isUnchanged: Bool {
    guard let bytes = try? Files.read(path, limit: limit) else { return false }
    return bytes.elementsEqual(text.utf8)
  }
}
