public import EPIR
public import EPJSON
public import EPPlan

/// A kind of device, as a file of `plugins/hardware` describes it.
public struct Hardware: Hashable, Sendable {
  /// The name clusters use: `h200`.
  public var name: String
  /// What people call it.
  public var label: String
  /// Devices that share the fast links of a node.
  public var devicesPerNode: Int
  /// Memory, in bytes.
  public var memoryBytes: Int
  /// Memory bandwidth, in bytes a second.
  public var memoryBandwidth: Double
  /// Dense peaks by number format, in operations a second.
  public var peaks: [String: Double] { didSet { rates = Rates(peaks) } }
  /// The same by format, which all kernels ask for.
  private(set) var rates: Rates
  /// Bandwidth of a device into its node, one way, in bytes a second.
  public var scaleUpBandwidth: Double
  /// Bandwidth of a device out of its node, one way, in bytes a second.
  public var scaleOutBandwidth: Double
  /// Multiprocessors, where known.
  public var multiprocessors: Int?
  /// The kind whose measurements hold for this one too once scaled by the peaks: the same die with
  /// other memory or links.
  public var like: String?
  /// Dollars of a device and hour, where known.
  public var dollarsPerHour: Double?
  /// Where that price is from.
  public var priceSource: String?
  /// Where the numbers were published.
  public var source: String

  /// Reads a description.
  public init(json node: JSONNode) throws(JSONError) {
    try node.requireKeys(only: [
      "name", "label", "devices_per_node", "memory_gb", "memory_tb_per_s", "peak_tflops",
      "scale_up_gb_per_s", "scale_out_gb_per_s", "multiprocessors", "like", "dollars_per_hour",
      "price_source", "source", "note",
    ])
    name = try node["name"].name(maxLength: 64)
    label = try node["label"].string(maxLength: 256)
    devicesPerNode = try node["devices_per_node"].int(in: 1...4096)
    memoryBytes = Int(try node["memory_gb"].double(in: 1e-3...1e6) * 1e9)
    memoryBandwidth = try node["memory_tb_per_s"].double(in: 1e-6...1e6) * 1e12
    var peaks: [String: Double] = [:]
    for (format, value) in try node["peak_tflops"].entries {
      peaks[format] = try value.double(in: 1e-6...1e9) * 1e12
    }
    (self.peaks, rates) = (peaks, Rates(peaks))
    scaleUpBandwidth = try node["scale_up_gb_per_s"].double(in: 1e-6...1e9) * 1e9
    scaleOutBandwidth = try node["scale_out_gb_per_s"].double(in: 1e-6...1e9) * 1e9
    multiprocessors = try node.optional("multiprocessors")?.int(in: 1...(1 << 20))
    like = try node.optional("like")?.string(maxLength: 64)
    dollarsPerHour = try node.optional("dollars_per_hour")?.double(in: 0...1e6)
    priceSource = try node.optional("price_source")?.string(maxLength: 4096)
    source = try node["source"].string(maxLength: 4096)
  }
}

/// Devices in nodes, of one kind but for those that are said to differ.
public struct Cluster: Hashable, Sendable {
  /// The name: `h200:32`.
  public var name: String
  /// The kind of device.
  public var hardware: Hardware
  /// Nodes.
  public var nodes: Int
  /// Devices of a node.
  public var devicesPerNode: Int
  /// The part of a device's memory that a plan may use; the rest is the runtime's.
  public var usableFraction: Double
  /// Devices that are faster, slower, or have other memory, ascending.
  public var unlike: [UnlikeDevices] = []

  /// What plans leave of a device's memory to the runtime, unless the cluster says otherwise: the
  /// default of vLLM's `--gpu-memory-utilization`.
  public static let defaultUsableFraction = 0.9

  /// Makes a cluster of at least `devices` devices: as few nodes as hold them.
  public init(_ hardware: Hardware, devices: Int) {
    self.hardware = hardware
    name = "\(hardware.name):\(devices)"
    devicesPerNode = min(hardware.devicesPerNode, devices)
    nodes = (devices + devicesPerNode - 1) / devicesPerNode
    usableFraction = Cluster.defaultUsableFraction
  }

  /// Devices of the cluster.
  public var devices: Int { nodes * devicesPerNode }

  /// The cluster as plans carry it.
  public var summary: ClusterSummary {
    ClusterSummary(
      name: name, device: hardware.name, nodes: nodes, devicesPerNode: devicesPerNode,
      memoryBytes: hardware.memoryBytes, usableFraction: usableFraction, unlike: unlike)
  }

  /// Reads a cluster file: `hardware` (a name, or a description of its own), `nodes`, and what
  /// differs from the hardware's, of all devices or of those that `unlike` lists.
  public init(json node: JSONNode, catalog: HardwareCatalog) throws(Diagnostics) {
    do {
      try node.requireKeys(only: [
        "name", "hardware", "nodes", "devices_per_node", "memory_gb", "usable_fraction",
        "scale_up_gb_per_s", "scale_out_gb_per_s", "unlike",
      ])
      let described = try node["hardware"]
      if case .string(let name) = described.value {
        hardware = try catalog.hardware(named: name)
      } else {
        hardware = try Hardware(json: described)
      }
      nodes = try node["nodes"].int(in: 1...(1 << 20))
      devicesPerNode =
        try node.optional("devices_per_node")?.int(in: 1...4096) ?? hardware.devicesPerNode
      usableFraction =
        try node.optional("usable_fraction")?.double(in: 0.01...1) ?? Cluster.defaultUsableFraction
      if let memory = try node.optional("memory_gb")?.double(in: 1e-3...1e6) {
        hardware.memoryBytes = Int(memory * 1e9)
      }
      if let bandwidth = try node.optional("scale_up_gb_per_s")?.double(in: 1e-6...1e9) {
        hardware.scaleUpBandwidth = bandwidth * 1e9
      }
      if let bandwidth = try node.optional("scale_out_gb_per_s")?.double(in: 1e-6...1e9) {
        hardware.scaleOutBandwidth = bandwidth * 1e9
      }
      name =
        try node.optional("name")?.name(maxLength: 256)
        ?? "\(hardware.name):\(nodes * devicesPerNode)"
      for kind in try node.optional("unlike")?.array(maxCount: 1 << 20) ?? [] {
        try kind.requireKeys(only: ["ranks", "speed", "memory_gb", "note"])
        let text = try kind["ranks"].string(maxLength: 64)
        guard let ranks = UnlikeDevices.ranks(parsing: text) else {
          throw try kind["ranks"].fail("'\(text)' are no devices such as '0-3'")
        }
        let memory = try kind.optional("memory_gb")?.double(in: 1e-3...1e6)
        unlike.append(
          UnlikeDevices(
            ranks: ranks, speed: try kind.optional("speed")?.double(in: UnlikeDevices.speeds) ?? 1,
            memoryBytes: memory.map { Int($0 * 1e9) } ?? hardware.memoryBytes))
      }
      if let problem = UnlikeDevices.problem(of: unlike, devices: devices) {
        throw Diagnostics("cluster-file", "'unlike': \(problem)")
      }
    } catch let error as JSONError {
      throw Diagnostics("cluster-file", error.description)
    } catch let error as Diagnostics {
      throw error
    } catch { throw Diagnostics("cluster-file", "\(error)") }
  }
}
