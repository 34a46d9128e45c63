import EPHuggingFace
import EPIR
import EPJSON
import EPModel
import EPModelLoader
import Glibc

/// A model, from whichever kind of file describes it.
struct LoadedModel {
  /// The program.
  var program: ModelProgram
  /// What the user should know about how it was read.
  var notes: [String] = []

  /// Loads a model file, a model JSON, a Hugging Face config.json or a checkpoint folder.
  static func load(_ path: String, usesCache: Bool = true) throws(Diagnostics) -> LoadedModel {
    var loaded =
      path.hasSuffix(".swift")
      ? LoadedModel(program: try program(modelFile: path, usesCache: usesCache))
      : try load(json: isFolder(path) ? path + "/config.json" : path)
    // A plan says which file, not where on this machine.
    for index in loaded.program.locations.indices {
      let file = loaded.program.locations[index].file
      loaded.program.locations[index].file =
        file.split(separator: "/").last.map(String.init) ?? file
    }
    return loaded
  }

  /// Whether a file is a plan rather than a model.
  static func isPlan(_ path: String) throws(Diagnostics) -> Bool {
    if path.hasSuffix(".swift") || isFolder(path) { return false }
    let bytes = try Terminal.read(path, maxBytes: 256 << 20)
    do { return try JSONNode(JSONValue.parse(bytes: bytes)).keys.contains("epc_plan") } catch {
      // What it is instead, its own reader says better.
      return false
    }
  }

  private static func load(json file: String) throws(Diagnostics) -> LoadedModel {
    let bytes = try Terminal.read(file, maxBytes: 256 << 20)
    do {
      let node = JSONNode(try HuggingFaceImport.parse(bytes: bytes))
      let keys = try node.keys
      if keys.contains("functions") { return LoadedModel(program: try ModelProgram(json: node)) }
      if keys.contains("epc_plan") {
        throw node.fail("this is a plan, not a model; see 'epc show'")
      }
      return try load(config: node, file: file)
    } catch let error as JSONError {
      if bytes.starts(with: "//".utf8) || bytes.starts(with: "import ".utf8) {
        throw Diagnostics("model-json", "no JSON; a model file's name ends in '.swift'", at: file)
      }
      throw Diagnostics("model-json", error.description, at: error.file == nil ? file : "")
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("model-json", "\(error)", at: file)
    }
  }

  private static func program(
    modelFile path: String, usesCache: Bool
  ) throws(Diagnostics) -> ModelProgram {
    var options = ModelFileOptions()
    options.usesCache = usesCache
    let output: ModelFileOutput
    do { output = try ModelFileLoader().load(path: path, options: options) } catch {
      throw Diagnostics([Diagnostic("model-file", error.description, severity: .quoted)])
    }
    if !output.diagnostics.isEmpty { Terminal.error(output.diagnostics) }
    do {
      let node = JSONNode(try JSONValue.parse(bytes: output.payload))
      let problems = try diagnostics(node)
      if !problems.isEmpty { throw Diagnostics(problems) }
      return try ModelProgram(json: node["model"])
    } catch let error as JSONError {
      throw Diagnostics("model-envelope", error.description, at: path)
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("model-envelope", "\(error)", at: path)
    }
  }

  private static func diagnostics(_ node: JSONNode) throws(JSONError) -> [Diagnostic] {
    var problems: [Diagnostic] = []
    for element in try node["diagnostics"].array(maxCount: 1 << 16) {
      problems.append(
        Diagnostic(
          try element["id"].string(maxLength: 256),
          try element["message"].string(maxLength: 1 << 16),
          at: try element.optional("at")?.string(maxLength: 4096) ?? ""))
    }
    return problems
  }

  private static func load(config node: JSONNode, file: String) throws(Diagnostics) -> LoadedModel {
    let result: ImportResult
    do { result = try HuggingFaceImport.result(fromConfig: node) } catch {
      throw Diagnostics("config", error.description, at: file)
    }
    let traced = result.model.traced()
    if !traced.diagnostics.isEmpty {
      throw Diagnostics(traced.diagnostics.map { Diagnostic($0.id, $0.message, at: file) })
    }
    var program = traced.program
    // The importer's own source is no place a user can look at.
    program.locations = []
    for function in program.functions.indices {
      for operation in program.functions[function].operations.indices {
        program.functions[function].operations[operation].location = -1
      }
    }
    return LoadedModel(program: program, notes: result.notes)
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = Glibc.stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
