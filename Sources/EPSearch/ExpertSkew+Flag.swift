public import EPIR
internal import EPPlacement

extension ExpertSkew {
  /// The skew that a flag names: `typical`, `even`, `lognormal:0.7`, `zipf:0.5`, or a file of loads.
  /// A distribution drifts as the typical one does.
  public init(flag: String) throws(Diagnostics) {
    switch flag {
    case "typical": self = .typical
    case "even", "uniform": self = .even
    default:
      do throws(PlacementError) {
        if flag.contains("/") || flag.hasSuffix(".csv") || flag.hasSuffix(".json") {
          self.init(.measured(try ExpertLoads(file: flag)))
        } else {
          self.init(
            .drawn(try LoadDistribution(parsing: flag)), drift: ExpertSkew.typical.drift)
        }
      } catch { throw Diagnostics("expert-loads", error.description) }
    }
  }
}
