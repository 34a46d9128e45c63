internal import EPBackend
internal import EPModel

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// A rotary embedding made ready: a frequency for each pair of elements.
struct RopeForm {
  var vectors: Int
  var size: Int
  var rotated: Int
  var isInterleaved: Bool
  /// Radians a position, as doubles.
  var frequencies: Storage
  /// What sine and cosine are multiplied with.
  var factor: Double

  init(_ op: OpDescription, _ x: TensorType) throws(BackendError) {
    let attributes = op.attributes
    size = x.axes.last?.size ?? 1
    vectors = x.elementsPerRow / size
    rotated = attributes.int("rotated")
    isInterleaved = attributes.text("layout") == "interleaved"
    factor = attributes.real("attention_factor", default: 1)
    let theta = attributes.real("theta")
    let rotated = self.rotated
    var rates = (0..<(rotated / 2)).map { 1 / pow(theta, Double(2 * $0) / Double(rotated)) }
    switch attributes.text("scaling") {
    case "", "none": break
    case "linear": rates = rates.map { $0 / attributes.real("factor", default: 1) }
    case "yarn": rates = RopeForm.yarn(rates, attributes, theta: theta)
    case "llama3": rates = rates.map { RopeForm.llama3($0, attributes) }
    default: throw op.unsupported("there is no scaling '\(attributes.text("scaling"))'")
    }
    frequencies = Storage(bytes: 8 * rates.count)
    for (index, rate) in rates.enumerated() { unsafe frequencies.memory.doubles[index] = rate }
  }

  /// YaRN (Peng et al. 2023, section 3.2): pairs that turn often keep their rate, those that turn
  /// less than once in the original context are interpolated, and a ramp lies between.
  private static func yarn(_ rates: [Double], _ attributes: Attributes, theta: Double) -> [Double] {
    let context = Double(attributes.int("original_context"))
    let factor = attributes.real("factor", default: 1)
    let size = Double(2 * rates.count)
    func pair(turning turns: Double) -> Double {
      size * log(context / (turns * 2 * .pi)) / (2 * log(theta))
    }
    var low = pair(turning: attributes.real("beta_fast", default: 32))
    var high = pair(turning: attributes.real("beta_slow", default: 1))
    if attributes.flag("truncate") { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    (low, high) = (max(low, 0), min(high, size - 1))
    if low == high { high += 0.001 }
    return rates.enumerated().map { index, rate in
      let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
      return rate / factor * ramp + rate * (1 - ramp)
    }
  }

  /// Llama 3.1: wavelengths beyond the original context are stretched, short ones kept.
  private static func llama3(_ rate: Double, _ attributes: Attributes) -> Double {
    let context = Double(attributes.int("original_context"))
    let factor = attributes.real("factor", default: 1)
    let low = attributes.real("low_frequency_factor", default: 1)
    let high = attributes.real("high_frequency_factor", default: 4)
    let wavelength = 2 * Double.pi / rate
    if wavelength < context / high { return rate }
    if wavelength > context / low { return rate / factor }
    let smooth = (context / wavelength - low) / (high - low)
    return (1 - smooth) * rate / factor + smooth * rate
  }
}
