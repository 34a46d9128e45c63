import ArgumentParser
import EPIR
import EPPlacement

/// The flag that says how busy each expert is, the same for all commands.
struct LoadFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Tokens each expert gets; experts are placed for them.",
      discussion: "A CSV or JSON file with a row for each MoE layer, or a distribution: uniform, "
        + "zipf:EXPONENT or lognormal:SIGMA, drawn from a seed with '@SEED' behind it.",
      valueName: "loads"))
  var loads: String?

  /// The loads that the flag gives, if any.
  func source() throws(Diagnostics) -> LoadSource? {
    guard let loads else { return nil }
    do { return try LoadSource(parsing: loads) } catch {
      throw Diagnostics("expert-loads", error.description)
    }
  }
}
