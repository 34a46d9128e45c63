public import EPJSON
public import EPModel

/// Builds models of Hugging Face configs.
///
/// A config either becomes a model that computes what transformers computes for it, or is refused
/// with one line that names the field which cannot be honoured; a field that nobody knows refuses
/// too, because it may change what the model computes.
///
/// ```swift
/// let config = JSONNode(try HuggingFaceImport.parse(bytes: JSONFile.read("config.json")))
/// let result = try HuggingFaceImport.result(fromConfig: config)
/// ```
public enum HuggingFaceImport {
  /// The model of a config; what `result(fromConfig:named:)` gives, without the notes.
  public static func model(fromConfig config: JSONNode) throws(ImportError) -> Model {
    try result(fromConfig: config).model
  }

  /// The model of a config, and what was left out or assumed.
  ///
  /// - Parameters:
  ///   - config: the root of a `config.json`.
  ///   - name: what the model is called; what the config says unless set.
  public static func result(
    fromConfig config: JSONNode, named name: String? = nil
  ) throws(ImportError) -> ImportResult {
    let header = ConfigReader(family: "config.json", node: config, modelName: "")
    try refuseForeign(header)
    let type = try header.reading { () throws(JSONError) in
      try config["model_type"].string(maxLength: 100)
    }
    guard let family = Family(rawValue: type) else { throw .unknownFamily(type) }
    let given = (try? header.optionalText("_name_or_path")) ?? ""
    let reader = ConfigReader(
      family: type, node: config, modelName: name ?? (given.isEmpty ? type : given))
    let model = try family.model(reader)
    try reader.finish()
    let inner = reader.childrenOfAllLevels.flatMap(\.notes)
    return ImportResult(model: model, notes: reader.notes + inner)
  }

  /// The families that are known, by `model_type`; some are known only to be refused.
  public static var families: [String] { Family.allCases.map(\.rawValue) }

  /// Configs in the style of DeepSeek's inference demo have other names and no `model_type`.
  private static func refuseForeign(_ config: ConfigReader) throws(ImportError) {
    guard try config.optional("model_type") == nil, let layers = try config.optional("n_layers"),
      let width = try config.optional("dim")
    else { return }
    throw .foreign(
      "a DeepSeek inference demo config ('dim' = \(width.value.brief), "
        + "'n_layers' = \(layers.value.brief)), which leaves out what the model needs; "
        + "import the config.json of the Hugging Face repository")
  }
}

/// The families, by `model_type`.
enum Family: String, CaseIterable {
  case deepseekV2 = "deepseek_v2"
  case deepseekV3 = "deepseek_v3"
  case deepseekV32 = "deepseek_v32"
  case deepseekV4 = "deepseek_v4"
  case kimiK2 = "kimi_k2"
  case kimiK25 = "kimi_k25"
  case kimiK3 = "kimi_k3"
  case kimiLinear = "kimi_linear"
  case mixtral
  case qwen2MoE = "qwen2_moe"
  case qwen3MoE = "qwen3_moe"
  case qwen3VLMoE = "qwen3_vl_moe"
  case qwen3Next = "qwen3_next"
  case qwen35MoE = "qwen3_5_moe"
  case qwen35MoEText = "qwen3_5_moe_text"
  case gptOSS = "gpt_oss"
  case glm4MoE = "glm4_moe"
  case glm4MoELite = "glm4_moe_lite"
  case solarOpen = "solar_open"
  case glmMoEDSA = "glm_moe_dsa"
  case miniMax = "minimax"
  case miniMaxM1 = "minimax_m1"
  case miniMaxM2 = "minimax_m2"
  case miniMaxM3 = "minimax_m3"
  case llama4
  case llama4Text = "llama4_text"
  case olmoe
  case graniteMoE = "granitemoe"
  case graniteMoEShared = "granitemoeshared"
  case graniteMoEHybrid = "granitemoehybrid"
  case phiMoE = "phimoe"
  case ernie45MoE = "ernie4_5_moe"
  case dots1
  case hunYuanMoE = "hunyuan_v1_moe"
  case longCatFlash = "longcat_flash"
  case dbrx
  case bailingMoE = "bailing_moe"
  case bailingMoEV2 = "bailing_moe_v2"
  case nemotronH = "nemotron_h"
  case miMoV2Flash = "mimo_v2_flash"
  case step3p7
  case gemma4

  /// The model of a config of this family.
  func model(_ config: ConfigReader) throws(ImportError) -> Model {
    let plain = WeightNames()
    switch self {
    case .deepseekV2: return try config.deepseekV2(plain)
    case .deepseekV3, .kimiK2: return try config.deepseekV3(plain)
    case .deepseekV32: return try config.deepseekV32(plain)
    case .kimiK25: return try config.kimiK25()
    case .kimiLinear: return try config.kimiLinear(plain)
    case .mixtral: return try config.mixtral(plain)
    case .qwen2MoE: return try config.qwen2MoE(plain)
    case .qwen3MoE: return try config.qwen3MoE(plain)
    case .qwen3VLMoE: return try config.qwen3VLMoE()
    case .qwen3Next: return try config.qwen3Next(plain)
    case .qwen35MoE: return try config.qwen35MoE()
    case .qwen35MoEText: return try config.qwen35MoEText(plain)
    case .gptOSS: return try config.gptOSS(plain)
    case .glm4MoE: return try config.glm4MoE(plain)
    case .glm4MoELite: return try config.glm4MoELite(plain)
    case .solarOpen: return try config.solarOpen(plain)
    case .glmMoEDSA: return try config.glmMoEDSA(plain)
    case .miniMax: return try config.miniMax(plain)
    case .miniMaxM1: return try config.miniMaxM1(plain)
    case .miniMaxM2: return try config.miniMaxM2(plain)
    case .llama4: return try config.llama4()
    case .llama4Text: return try config.llama4Text(plain)
    case .olmoe: return try config.olmoe(plain)
    case .graniteMoE, .graniteMoEShared: return try config.graniteMoE(plain, self)
    case .graniteMoEHybrid: return try config.graniteMoE(plain, self)
    case .phiMoE: return try config.phiMoE(plain)
    case .ernie45MoE: return try config.ernie45MoE(plain)
    case .dots1: return try config.dots1(plain)
    case .hunYuanMoE: return try config.hunYuanMoE(plain)
    case .longCatFlash: return try config.longCatFlash(plain)
    case .dbrx: return try config.dbrx()
    case .bailingMoE: return try config.bailingMoE(plain)
    case .bailingMoEV2: return try config.bailingMoEV2(plain)
    case .nemotronH: return try config.nemotronH()
    case .miMoV2Flash: return try config.miMoV2Flash(plain)
    case .deepseekV4, .kimiK3, .miniMaxM3, .step3p7, .gemma4: throw try config.inexpressible(self)
    }
  }
}
