import EPJSON
import Glibc

/// The compiled library that a model file imports: a module for the compiler, code for the linker.
struct ModelLibrary {
  let moduleName: String
  /// Where the compiler looks for the module.
  let moduleDirectory: String
  /// Objects, or one static library.
  let linkInputs: [String]
  /// Module and code, by which one library is told from another.
  let files: [Files.Identity]

  /// Finds the library: in the directory that was asked for, or beside the running executable as a
  /// build leaves it, or where an installation puts it.
  static func locate(options: ModelFileOptions) throws(ModelLoadError) -> ModelLibrary {
    let directories: [String]
    if let chosen = options.libraryDirectory ?? options.environment["EPC_MODEL_LIBRARY_DIR"] {
      directories = [chosen]
    } else {
      let own = Files.directory(of: Files.resolved("/proc/self/exe") ?? "/")
      directories = [own, Files.directory(of: own) + "/lib/epc"]
    }
    for directory in directories {
      let found =
        built(options.libraryModule, in: directory)
        ?? installed(options.libraryModule, in: directory)
      if let found { return found }
    }
    throw .noModelLibrary(options.libraryModule, searched: directories)
  }

  /// `Modules/X.swiftmodule` and the objects in `X.build`, as `swift build` leaves them.
  private static func built(_ name: String, in directory: String) -> ModelLibrary? {
    guard let module = Files.identity("\(directory)/Modules/\(name).swiftmodule"),
      let objects = objects(of: name, in: directory)
    else { return nil }
    return ModelLibrary(
      moduleName: name, moduleDirectory: directory + "/Modules", linkInputs: objects.map(\.path),
      files: [module] + objects)
  }

  /// `X.swiftmodule` and `libX.a`, as an installation has them.
  private static func installed(_ name: String, in directory: String) -> ModelLibrary? {
    guard let module = Files.identity("\(directory)/\(name).swiftmodule"),
      let archive = Files.identity("\(directory)/lib\(name).a")
    else { return nil }
    return ModelLibrary(
      moduleName: name, moduleDirectory: directory, linkInputs: [archive.path],
      files: [module, archive])
  }

  /// The objects that the last build made, by the build's own list: a renamed source's old object
  /// stays in the folder, and linking both would define everything twice.
  private static func objects(of name: String, in directory: String) -> [Files.Identity]? {
    let folder = "\(directory)/\(name).build/"
    guard let bytes = try? Files.read(folder + "output-file-map.json", limit: 16 << 20),
      case .object(let map)? = try? JSONValue.parse(bytes: bytes)
    else { return nil }
    // The list has the build's paths; what counts is where an object is below the folder. The entry
    // without a source is for builds that make one object of all; then the others do not exist.
    let objects = map.members.compactMap { member -> Files.Identity? in
      guard case .object(let outputs) = member.value, case .string(let path)? = outputs["object"],
        let range = path.firstRange(of: "/\(name).build/")
      else { return nil }
      return Files.identity(folder + path[range.upperBound...])
    }
    return objects.isEmpty ? nil : objects.sorted { $0.path < $1.path }
  }
}
