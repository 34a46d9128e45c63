/// Numbers as people read them: three digits and a unit.
public enum Units {
  /// Bytes in binary units: `512 B`, `70.3 KiB`, `11.2 GiB`.
  public static func bytes(_ count: Int) -> String {
    scaled(count, by: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
  }

  /// A count in thousands: `980`, `12.4 M`, `37.6 B`, `1.03 T`.
  public static func count(_ count: Int) -> String {
    scaled(count, by: 1000, units: ["", "K", "M", "B", "T", "P", "E"])
  }

  /// A share of a whole: `31.5 %`, `< 0.1 %`, or `-` where there is no whole.
  public static func percent(_ part: Int, of whole: Int) -> String {
    if whole <= 0 { return "-" }
    let share = Double(part) / Double(whole) * 100
    return part > 0 && share < 0.05 ? "< 0.1 %" : decimal(share, digits: 1) + " %"
  }

  /// `1 rank`, `8 ranks`.
  public static func plural(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
  }

  /// Ascending numbers as runs, at most `most` of them: `0-7, 12, and 3 more`.
  public static func runs(_ numbers: [Int], most: Int = 8) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    let shown = runs.prefix(most).map {
      $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
    }
    let rest = runs.dropFirst(most).reduce(0) { $0 + $1.count }
    return (shown + (rest > 0 ? ["and \(rest) more"] : [])).joined(separator: ", ")
  }

  /// A number with so many digits behind the point.
  public static func decimal(_ value: Double, digits: Int) -> String {
    var factor = 1.0
    for _ in 0..<digits { factor *= 10 }
    guard let scaled = Int(exactly: (value.magnitude * factor).rounded()) else { return "\(value)" }
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return "\(sign)\(scaled)" }
    let unit = Int(factor)
    let fraction = String(scaled % unit)
    return "\(sign)\(scaled / unit)."
      + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  private static func scaled(_ count: Int, by step: Double, units: [String]) -> String {
    var value = Double(count)
    var unit = 0
    while value.magnitude >= 999.5 && unit < units.count - 1 {
      value /= step
      unit += 1
    }
    if unit == 0 { return units[0].isEmpty ? "\(count)" : "\(count) \(units[0])" }
    let digits = value.magnitude < 9.995 ? 2 : value.magnitude < 99.95 ? 1 : 0
    return "\(decimal(value, digits: digits)) \(units[unit])"
  }
}
