import EPJSON
import EPModel

extension ConfigReader {
  /// The number formats of the checkpoint: `torch_dtype` (or `dtype`) and `quantization_config`.
  func precision() throws(ImportError) -> Precision {
    let older = try optionalText("torch_dtype")
    let outerOlder = try outer?.optionalText("torch_dtype")
    let outerName = try outer?.optionalText("dtype") ?? outerOlder
    let name = try optionalText("dtype") ?? older ?? outerName
    var precision: Precision
    switch name {
    case nil, "bfloat16", "auto": precision = .bf16
    case "float32": precision = .fp32
    case "float16": precision = Precision(linear: .fp16, experts: .fp16, other: .fp16)
    case .some:
      throw refusal(
        older == nil ? "dtype" : "torch_dtype", "is not one of float32, float16, bfloat16")
    }
    let outerQuantization = try outer?.optionalObject("quantization_config")
    if let quantization = try optionalObject("quantization_config") ?? outerQuantization {
      try apply(quantization, to: &precision)
      // What it says beyond this is how the file stores elements, which the file says itself.
      quantization.ignoreRest()
    }
    return precision
  }

  private func apply(
    _ quantization: ConfigReader, to precision: inout Precision
  ) throws(ImportError) {
    switch try quantization.optionalText("quant_method") {
    case "fp8":
      if let block = try quantization.optionalInts("weight_block_size"), block != [128, 128] {
        throw quantization.refusal("weight_block_size", "is not [128, 128], the only size read")
      }
      (precision.linear, precision.experts) = (.fp8, .fp8)
    case "mxfp4": precision.experts = .mxfp4
    case "compressed-tensors":
      try requireInt4(quantization)
      precision.experts = .int4
    case "modelopt":
      guard let algorithm = try quantization.optionalText("quant_algo") else {
        note("'quantization_config' names no 'quant_algo'; experts are taken as NVFP4")
        precision.experts = .nvfp4
        return
      }
      if algorithm != "NVFP4" {
        throw quantization.refusal("quant_algo", "is not NVFP4, the only ModelOpt format known")
      }
      precision.experts = .nvfp4
    default:
      throw quantization.refusal(
        "quant_method", "is not one of fp8, mxfp4, compressed-tensors, modelopt")
    }
  }

  /// Experts packed to 4-bit integers in groups, as Kimi K2 Thinking is published.
  private func requireInt4(_ quantization: ConfigReader) throws(ImportError) {
    guard let groups = try quantization.optionalObject("config_groups") else {
      note("'quantization_config' names no 'config_groups'; experts are taken as INT4")
      return
    }
    for key in try reading({ () throws(JSONError) in try groups.node.keys }) {
      let weights = try groups.optionalObject(key)?.optionalObject("weights")
      try weights?.require("num_bits", 4, else: "is not 4, the only width known")
      try weights?.require("type", "int", else: "is not \"int\", the only type known")
    }
    for group in groups.childrenOfAllLevels { group.ignoreRest() }
  }
}
