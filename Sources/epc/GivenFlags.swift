import EPIR

/// What the command line names, by which a flag that has no effect is refused rather than dropped.
enum GivenFlags {
  /// Refuses the flags of these names, which are without their dashes, wherever one is given.
  static func refuse(_ names: [String], _ reason: String) throws(Diagnostics) {
    for name in names
    where CommandLine.arguments.contains(where: {
      $0 == "--\(name)" || $0.hasPrefix("--\(name)=")
    }) {
      throw Diagnostics("flag", "'--\(name)' \(reason)")
    }
  }
}
