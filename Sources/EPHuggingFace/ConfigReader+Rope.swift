import EPJSON
import EPModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A rotary embedding as a config describes it, with what attention has to know about it.
struct RopeFields {
  var rope: RotaryEmbedding
  /// What logits are multiplied with beside `1 / sqrt(size)`, if the family does so (DeepSeek).
  var logitScale: Double
}

/// Which part of a head a family rotates.
enum RotatedPart {
  /// All of it; a config that says otherwise is refused.
  case whole
  /// The part a config gives, else that one.
  case partial(default: Double)
  /// So many elements, which the family has read from a field of its own.
  case elements(Int)
}

extension ConfigReader {
  /// Reads the rotary embedding from `rope_parameters`, or from `rope_theta` and `rope_scaling`.
  ///
  /// - Parameters:
  ///   - size: the elements that could turn: a head, or the rotary part of MLA.
  ///   - theta: the base where the config has none; required without.
  func rope(
    size: Int, layout: RotaryEmbedding.Layout, theta: Double? = nil, part: RotatedPart = .whole
  ) throws(ImportError) -> RopeFields {
    let scaling = try optionalObject("rope_scaling")
    let parameters = try optionalObject("rope_parameters")
    if scaling != nil && parameters != nil {
      throw refusal("rope_scaling", "stands beside 'rope_parameters'; only one can hold")
    }
    let outerTheta = try optionalReal("rope_theta", in: 1e-3...1e15)
    let source = scaling ?? parameters
    let own = try source?.optionalReal("rope_theta", in: 1e-3...1e15)
    guard let base = own ?? outerTheta ?? theta else {
      _ = try real("rope_theta")
      throw refusal("rope_theta", "is missing")
    }
    var rotated: Int?
    let outerPart = try optionalReal("partial_rotary_factor", in: 0...1)
    let factor = try source?.optionalReal("partial_rotary_factor", in: 0...1) ?? outerPart
    switch part {
    case .whole:
      if let factor, factor != 1 {
        throw refusal(
          "partial_rotary_factor", "is not honoured by this family, which turns whole heads")
      }
    case .partial(let fallback): rotated = Int(Double(size) * (factor ?? fallback))
    case .elements(let count):
      rotated = count
      if let factor, Int(Double(size) * factor) != count {
        throw refusal(
          "partial_rotary_factor", "does not rotate the \(count) elements of another field")
      }
    }
    if rotated == size { rotated = nil }
    let (kind, logitScale) = try scaled(source)
    var rope = RotaryEmbedding(theta: base, rotated: rotated, layout: layout, scaling: kind)
    if case .yarn = kind {} else { rope.completePair() }
    return RopeFields(rope: rope, logitScale: logitScale)
  }

  /// How frequencies change, and by what DeepSeek's attention scales its logits.
  private func scaled(
    _ source: ConfigReader?
  ) throws(ImportError) -> (RotaryEmbedding.Scaling, Double) {
    guard let source else { return (.none, 1) }
    let older = try source.optionalText("type")
    let type = try source.optionalText("rope_type") ?? older ?? "default"
    switch type {
    case "default": return (.none, 1)
    case "linear": return (.linear(factor: try source.real("factor", in: 1e-6...1e6)), 1)
    case "llama3":
      return (
        .llama3(
          factor: try source.real("factor", in: 1e-6...1e6),
          originalContext: try originalContext(source),
          lowFrequencyFactor: try source.real("low_freq_factor", in: 1e-6...1e6),
          highFrequencyFactor: try source.real("high_freq_factor", in: 1e-6...1e6)), 1
      )
    case "yarn": return try yarn(source)
    default:
      let key = (try source.optional("rope_type")) == nil ? "type" : "rope_type"
      throw source.refusal(key, "is a scaling of positions that cannot be expressed yet")
    }
  }

  private func originalContext(_ source: ConfigReader) throws(ImportError) -> Int {
    if let context = try source.optionalInt("original_max_position_embeddings", in: Sizes.tokens) {
      return context
    }
    return try int("max_position_embeddings", in: Sizes.tokens)
  }

  /// YaRN, with the attention factor that transformers derives when a config has none: of
  /// `mscale` and `mscale_all_dim` if both are there and not 0, else of the factor alone.
  private func yarn(
    _ source: ConfigReader
  ) throws(ImportError) -> (RotaryEmbedding.Scaling, Double) {
    let factor = try source.real("factor", in: 1e-6...1e6)
    let mscale = try source.optionalReal("mscale") ?? 0
    let allDimensions = try source.optionalReal("mscale_all_dim") ?? 0
    let temperature = RotaryEmbedding.mscale(factor: factor, allDimensions)
    var attention = RotaryEmbedding.mscale(factor: factor)
    if mscale != 0 && allDimensions != 0 {
      attention = RotaryEmbedding.mscale(factor: factor, mscale) / temperature
    }
    if let given = try source.optionalReal("attention_factor") { attention = given }
    func turns(_ key: String, _ fallback: Double) throws(ImportError) -> Double {
      let given = try source.optionalReal(key, in: 0...1e6) ?? 0
      return given == 0 ? fallback : given
    }
    let scaling = RotaryEmbedding.Scaling.yarn(
      factor: factor, originalContext: try originalContext(source),
      betaFast: try turns("beta_fast", 32), betaSlow: try turns("beta_slow", 1),
      truncate: try source.flag("truncate", default: true), attentionFactor: attention)
    return (scaling, allDimensions == 0 ? 1 : temperature * temperature)
  }
}

extension RotaryEmbedding {
  /// Turns a whole number of pairs, as transformers does: an odd number of elements gets one more, but
  /// frequencies fall as over the odd number, which is what another base gives.
  mutating func completePair() {
    guard let odd = rotated, odd % 2 == 1 else { return }
    theta = power(theta, Double(odd + 1) / Double(odd))
    rotated = odd + 1
  }
}

/// `base` to the power `exponent`.
func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
