import EPIR
import EPPlan

extension ClusterSummary {
  /// Refuses devices that are unlike, where times are those of one kind.
  func requireAlike() throws(Diagnostics) {
    if unlike.isEmpty { return }
    throw Diagnostics(
      "cluster-unlike",
      "steps are priced and simulated on devices of one kind, and '\(name)' has unlike ones; compile and "
        + "exec take them")
  }
}
