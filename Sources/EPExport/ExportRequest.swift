internal import EPIR

/// What a plan does not know about where it is to run.
public struct ExportRequest: Hashable, Sendable {
  /// How keys and values move from prefill to decode.
  public enum Transfer: String, Hashable, Sendable, CaseIterable {
    case nixl, mooncake
  }

  /// The checkpoint as the engine is to be given it; the model's name unless set.
  public var model: String?
  /// The names or addresses of the cluster's nodes, in order; `node0`, `node1` and so on unless set.
  public var hosts: [String]
  /// How keys and values move from prefill to decode.
  public var transfer: Transfer
  /// Whether two micro-batches overlap; as in the plan unless set.
  public var twoBatches: Bool?
  /// Whether the checkpoint's own code may run.
  public var trustsRemoteCode: Bool
  /// For Kubernetes: the container image; the engine's own at the version written for unless set.
  public var image: String?

  /// Makes a request.
  public init(
    model: String? = nil, hosts: [String] = [], transfer: Transfer = .nixl,
    twoBatches: Bool? = nil, trustsRemoteCode: Bool = false, image: String? = nil
  ) {
    self.model = model
    self.hosts = hosts
    self.transfer = transfer
    self.twoBatches = twoBatches
    self.trustsRemoteCode = trustsRemoteCode
    self.image = image
  }

  /// The name of a node of the cluster; refuses a node that no host was given for.
  func host(_ node: Int) throws(Diagnostics) -> String {
    if hosts.isEmpty { return "node\(node)" }
    guard hosts.indices.contains(node) else {
      throw Diagnostics(
        "export-hosts",
        "\(hosts.count) hosts, and the plan takes at least \(node + 1) nodes; name them all, in "
          + "order, or none")
    }
    return hosts[node]
  }

  /// Refuses hosts and paths that no command line should carry.
  func check() throws(Diagnostics) {
    for text in hosts + [model, image].compactMap({ $0 }) {
      if text.isEmpty || text.utf8.contains(where: { $0 < 0x21 || $0 == 0x7F }) {
        throw Diagnostics(
          "export-name", "'\(text.filter { !$0.isNewline })' is no host, path or image")
      }
      if text.hasPrefix("-") {
        throw Diagnostics("export-name", "'\(text)' would be read as a flag")
      }
    }
  }
}
