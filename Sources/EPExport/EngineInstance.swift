internal import EPIR
internal import EPModel
internal import EPPlan

/// One engine of a pool, on its nodes.
struct EngineInstance {
  /// The pool.
  let shape: PoolShape
  /// Which of the pool's instances it is.
  let number: Int
  /// The hosts of its nodes, in order.
  let hosts: [String]

  init(_ shape: PoolShape, _ number: Int, _ request: ExportRequest) throws(Diagnostics) {
    self.shape = shape
    self.number = number
    let first = shape.firstRank(ofInstance: number) / shape.devicesPerNode
    var hosts: [String] = []
    for node in 0..<shape.nodes { hosts.append(try request.host(first + node)) }
    self.hosts = hosts
  }

  /// The only instance of a pool, on the given hosts.
  init(_ shape: PoolShape, hosts: [String]) {
    self.shape = shape
    number = 0
    self.hosts = hosts
  }

  /// All instances of a pool.
  static func all(
    _ shape: PoolShape, _ request: ExportRequest
  ) throws(Diagnostics) -> [EngineInstance] {
    var instances: [EngineInstance] = []
    for number in 0..<shape.instances {
      instances.append(try EngineInstance(shape, number, request))
    }
    return instances
  }

  /// The first device it takes of its first node; keeps the ports of instances on a node apart.
  var device: Int { shape.firstRank(ofInstance: number) % shape.devicesPerNode }

  /// What its command on a node is called.
  func name(node: Int) -> String { "\(shape.role.rawValue)-\(number)-node-\(node)" }

  /// A line for people.
  func summary(node: Int) -> String {
    "\(shape.role.rawValue) instance \(number + 1) of \(shape.instances), node \(node + 1) of "
      + "\(shape.nodes), on \(hosts[node])"
  }

  /// A command for a node, its devices chosen where it does not take them all.
  func command(node: Int, program: [String]) -> LaunchCommand {
    var command = LaunchCommand(
      name: name(node: node), summary: summary(node: node), host: hosts[node], program: program)
    if shape.ranks < shape.devicesPerNode {
      let devices = (device..<(device + shape.ranks)).map(String.init)
      command.set("CUDA_VISIBLE_DEVICES", devices.joined(separator: ","))
    }
    return command
  }
}
