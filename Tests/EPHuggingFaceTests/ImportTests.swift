import EPHuggingFace
import EPJSON
import EPModel
import Testing

@Suite struct ImportTests {
  @Test func formatsComeFromTheConfig() throws {
    func precision(_ changes: KeyValuePairs<String, JSONValue>) throws -> Precision {
      try program(fixture("mixtral").with(changes)).precision
    }
    #expect(try precision([:]) == .bf16)
    #expect(try precision(["torch_dtype": .null]) == .bf16)
    #expect(try precision(["torch_dtype": .null, "dtype": "float32"]) == .fp32)
    #expect(try precision(["torch_dtype": "float16"]).experts == .fp16)
    let fp8: JSONValue = ["quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"]
    #expect(try precision(["quantization_config": fp8]) == .fp8)
    let packed: JSONValue = [
      "quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": ["group_0": ["weights": ["num_bits": 4, "type": "int", "group_size": 32]]],
    ]
    #expect(try precision(["quantization_config": packed]) == .int4Experts)
    let modelOpt: JSONValue = ["quant_method": "modelopt", "quant_algo": "NVFP4"]
    #expect(try precision(["quantization_config": modelOpt]).experts == .nvfp4)
  }

  @Test(
    arguments: [
      (["quant_method": "awq"], "quant_method"),
      (["quant_method": "fp8", "weight_block_size": [64, 64]], "weight_block_size"),
      (["quant_method": "modelopt", "quant_algo": "FP8"], "quant_algo"),
      (
        [
          "quant_method": "compressed-tensors",
          "config_groups": ["group_0": ["weights": ["num_bits": 8, "type": "float"]]],
        ], "config_groups.group_0.weights.num_bits"
      ),
    ] as [(JSONValue, String)])
  func otherFormatsAreRefused(quantization: JSONValue, field: String) throws {
    let config = try fixture("mixtral").with(["quantization_config": quantization])
    #expect(refusal(config).hasPrefix("mixtral: 'quantization_config.\(field)' = "))
  }

  @Test func notesSayWhatIsLeftOut() throws {
    func notes(_ name: String) throws -> [String] {
      try HuggingFaceImport.result(fromConfig: JSONNode(fixture(name))).notes
    }
    #expect(try notes("deepseek_v3").isEmpty)
    #expect(
      try notes("minimax_m2") == [
        "multi-token prediction ('num_mtp_modules' = 3) is left out"
      ])
    #expect(
      try notes("qwen3_5_moe") == [
        "only the language model is imported; text alone can be run",
        "multi-token prediction ('mtp_num_hidden_layers' = 1) is left out",
      ])
    #expect(try notes("kimi_k25").contains { $0.contains("taken as INT4") })
  }

  @Test func modelsAreNamed() throws {
    let config = try fixture("mixtral")
    func name(_ config: JSONValue, _ given: String? = nil) throws -> String {
      try HuggingFaceImport.result(fromConfig: JSONNode(config), named: given).model.name
    }
    #expect(try name(config) == "mixtral")
    #expect(try name(config.with(["_name_or_path": "mistralai/Mixtral"])) == "mistralai/Mixtral")
    #expect(try name(config, "my model") == "my model")
  }

  @Test func programsNameNoFileOfThisPackage() throws {
    for name in ["deepseek_v3", "longcat_flash", "nemotron_h", "kimi_linear"] {
      #expect(try program(fixture(name)).locations.isEmpty)
    }
  }

  @Test func pythonsInfinityIsReadOutsideStringsOnly() throws {
    let text = #"{"a": [0.0, Infinity, -Infinity], "Infinity": "\" Infinity \\"}"#
    let largest = Double.greatestFiniteMagnitude
    #expect(
      try HuggingFaceImport.parse(bytes: Array(text.utf8))
        == ["a": [0.0, .double(largest), .double(-largest)], "Infinity": "\" Infinity \\"])
    #expect(throws: JSONError.self) { try HuggingFaceImport.parse(bytes: Array("[NaN]".utf8)) }
    #expect(throws: JSONError.self) { try HuggingFaceImport.parse(bytes: Array("[Infinity".utf8)) }
  }

  @Test func traceNamesShapesThatDoNotFit() throws {
    // 256 experts in 7 groups: only the operation's shape rule knows.
    let config = try fixture("deepseek_v3").with(["n_group": 7])
    #expect(
      HuggingFaceImport.outcome(ofConfig: JSONNode(config)).text
        == "invalid-operation: 256 experts do not fall into 7 equal groups")
  }

  /// No value of any field of any config may trap: it imports, or is refused in one line.
  @Test(arguments: HuggingFaceImport.families)
  func noValueTraps(family: String) throws {
    let config = try fixture(family)
    let values: [JSONValue] = ["x", -1, 0, 3, .int(.max), -1e300, true, [1], [:]]
    guard case .object(let object) = config else { return }
    for key in object.keys {
      for value in values {
        attempt(config.with([key: value]))
        guard case .object(let inner)? = object[key], key != "vision_config" else { continue }
        for innerKey in inner.keys {
          attempt(config.with([key: JSONValue.object(inner).with([innerKey: value])]))
        }
      }
    }
  }

  /// Imports a config, and traces the model if that is quick.
  private func attempt(_ config: JSONValue) {
    do throws(ImportError) {
      let result = try HuggingFaceImport.result(fromConfig: JSONNode(config))
      guard case .object(let object) = config, case .int(let count)? = object["num_hidden_layers"],
        count <= 8
      else { return }
      let traced = result.model.traced()
      if traced.diagnostics.isEmpty { _ = traced.program.parameterCount }
    } catch {
      #expect(!error.description.isEmpty && !error.description.contains("\n"))
    }
  }
}
