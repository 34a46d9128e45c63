internal import EPModel
internal import EPPlan

/// The command of a router over all instances of a plan's pools.
struct RouterCommand {
  /// An instance, as a router is told of it.
  struct Worker {
    /// What it does.
    var role: Pool.Role
    /// Where it serves.
    var url: String
    /// The port at which caches of its prompts are asked for, where the connector has one.
    var bootstrapPort: Int?
  }

  /// The program and its first arguments.
  let program: [String]
  /// A line for people.
  let summary: String
  /// The flag that says there are pools for prefill and decode.
  let disaggregation: String

  /// The command; nil where there is one instance that does everything.
  func command(over workers: [Worker]) -> LaunchCommand? {
    guard workers.count > 1 else { return nil }
    var command = LaunchCommand(name: "router", summary: summary, host: "", program: program)
    command.add("--host", "0.0.0.0")
    command.add("--port", 8000)
    command.add("--policy", "cache_aware")
    if Set(workers.map(\.role)).count > 1 {
      command.add(disaggregation)
      for worker in workers {
        command.arguments.append(
          LaunchCommand.Argument(
            flag: worker.role == .prefill ? "--prefill" : "--decode",
            values: [worker.url] + (worker.bootstrapPort.map { [String($0)] } ?? [])))
      }
    } else {
      command.arguments.append(
        LaunchCommand.Argument(flag: "--worker-urls", values: workers.map(\.url)))
    }
    return command
  }
}
