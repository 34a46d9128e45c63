/// Numbers as reports show them.
enum Text {
  static func gibibytes(_ bytes: Int) -> String {
    decimal(Double(bytes) / Double(1 << 30), digits: 2) + " GiB"
  }

  static func milliseconds(_ seconds: Double) -> String {
    decimal(seconds * 1e3, digits: seconds < 0.1 ? 3 : 1) + " ms"
  }

  static func percent(_ share: Double) -> String { decimal(share * 100, digits: 1) + " %" }

  /// A number with so many digits behind the point.
  static func decimal(_ value: Double, digits: Int) -> String {
    var factor = 1.0
    for _ in 0..<digits { factor *= 10 }
    let scaled = (value.magnitude * factor).rounded()
    guard scaled < 1e15 else { return "\(value)" }
    let whole = Int(scaled)
    let sign = value < 0 && whole > 0 ? "-" : ""
    if digits == 0 { return "\(sign)\(whole)" }
    let unit = Int(factor)
    let fraction = String(whole % unit)
    return "\(sign)\(whole / unit)." + String(repeating: "0", count: digits - fraction.count)
      + fraction
  }

  /// The smallest, the middle and the largest of some shares.
  static func spread(_ shares: [Double]) -> (least: Double, median: Double, most: Double) {
    let sorted = shares.sorted()
    guard let least = sorted.first, let most = sorted.last else { return (0, 0, 0) }
    return (least, sorted[sorted.count / 2], most)
  }
}
