internal import EPCheckpoint
public import EPCompiler
public import EPCost
internal import EPHuggingFace
public import EPIR
internal import EPJSON
public import EPModel
public import EPPlan

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// Why a reference case could not be run.
public struct ReferenceError: Error, Hashable, Sendable, CustomStringConvertible {
  /// One phrase.
  public var description: String

  /// Makes an error.
  public init(_ description: String) { self.description = description }
}

/// A checkpoint with what a reference implementation computes of it.
public struct ReferenceCase: Hashable, Sendable {
  /// The folder with `config.json`, weights and `reference.safetensors`.
  public var folder: String
  /// The folder below the suite's: `deepseek_v3/seed1/bf16`.
  public var name: String

  /// The model family: the name up to its first slash.
  public var family: String { String(name.prefix { $0 != "/" }) }

  /// Makes a case.
  public init(folder: String, name: String) {
    self.folder = folder
    self.name = name
  }

  /// The cases below a folder, by name.
  public static func all(below folder: String) -> [ReferenceCase] {
    var cases: [ReferenceCase] = []
    func visit(_ path: String, _ name: String) {
      let entries = ReferenceCase.entries(of: path)
      if entries.contains("reference.safetensors") && entries.contains("config.json") {
        cases.append(ReferenceCase(folder: path, name: name))
        return
      }
      for entry in entries where !entry.hasPrefix(".") {
        visit("\(path)/\(entry)", name.isEmpty ? entry : "\(name)/\(entry)")
      }
    }
    visit(folder, "")
    return cases.sorted { $0.name < $1.name }
  }

  private static func entries(of path: String) -> [String] {
    guard let folder = unsafe opendir(path) else { return [] }
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
    return names
  }

  /// The model its config describes.
  public func program() throws(ReferenceError) -> ModelProgram {
    do {
      let bytes = try JSONFile.read("\(folder)/config.json")
      let config = JSONNode(try HuggingFaceImport.parse(bytes: bytes))
      let traced = try HuggingFaceImport.model(fromConfig: config).traced()
      if let first = traced.diagnostics.first { throw ReferenceError(first.message) }
      return traced.program
    } catch { throw ReferenceError("\(name): \(error)") }
  }

  /// The plan of its model for a mesh, with room for the reference's prompts.
  public static func plan(
    of program: ModelProgram, mesh: Mesh, tokens: Int = 160, samples: Int? = nil,
    activations: Precision.Format = .bf16, overlap: CompileRequest.Overlap = .none
  ) throws(ReferenceError) -> Plan {
    try plan(
      of: program, [(.unified, mesh)], tokens: tokens, samples: samples, activations: activations,
      overlap: overlap)
  }

  /// The plan of a model for a prefill and a decode pool.
  public static func plan(
    of program: ModelProgram, prefill: Mesh, decode: Mesh, tokens: Int = 160,
    samples: Int? = nil, overlap: CompileRequest.Overlap = .none
  ) throws(ReferenceError) -> Plan {
    try plan(
      of: program, [(.prefill, prefill), (.decode, decode)], tokens: tokens, samples: samples,
      activations: .bf16, overlap: overlap)
  }

  private static func plan(
    of program: ModelProgram, _ pools: [(Pool.Role, Mesh)], tokens: Int, samples: Int?,
    activations: Precision.Format, overlap: CompileRequest.Overlap
  ) throws(ReferenceError) -> Plan {
    do {
      let requests = pools.map { role, mesh in
        var pool = CompileRequest.PoolRequest(role)
        (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
        pool.batch = 8
        pool.tokensPerDevice = tokens
        pool.samples = samples
        return pool
      }
      var request = CompileRequest(hardware: try hardware(), pools: requests)
      request.context = 512
      request.activations = activations
      request.overlap = overlap
      return try Compiler.compile(Compilation(program, request))
    } catch {
      throw ReferenceError("\(pools.map { "\($0.1)" }.joined(separator: ", ")): \(error)")
    }
  }

  /// A device with room for any tiny model; nothing is timed on it.
  private static func hardware() throws(JSONError) -> Hardware {
    let text = """
      {"name": "reference", "label": "Reference", "devices_per_node": 8, "memory_gb": 80,
       "memory_tb_per_s": 1, "peak_tflops": {"bf16": 1}, "scale_up_gb_per_s": 1,
       "scale_out_gb_per_s": 1, "source": "none"}
      """
    return try Hardware(json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))))
  }
}
