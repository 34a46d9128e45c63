// Sizes come out of files that nobody vouches for: arithmetic on them stops at the bounds of `Int`
// instead of trapping, and whatever is compared with such a number is then refused.
extension Int {
  /// The product, or the nearest bound where it does not fit.
  package func saturatingProduct(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return !overflow ? product : (self < 0) == (other < 0) ? .max : .min
  }

  /// The sum, or the nearest bound where it does not fit.
  package func saturatingSum(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return !overflow ? sum : self < 0 ? .min : .max
  }

  /// The integer part, or the nearest bound where it does not fit; 0 for what is no number.
  package init(saturating value: Double) {
    if value.isNaN {
      self = 0
    } else if value >= 0x1p63 {
      self = .max
    } else {
      self = value <= -0x1p63 ? .min : Int(value)
    }
  }
}
