public import EPModel
internal import Glibc

extension Kernel {
  /// The name of its rows in calibration files.
  public var operation: String {
    switch self {
    case .gemm: return "gemm"
    case .grouped(let gemm): return "grouped_\(gemm.form.rawValue)"
    case .decodeAttention: return "mla_decode"
    case .prefillAttention: return "mla_prefill"
    case .stream: return "stream"
    case .exchange(let exchange):
      return (exchange.isCombine ? "combine" : "dispatch")
        + (exchange.isLowLatency ? "_low_latency" : "_normal")
    case .collective(let collective): return collective.form.rawValue
    }
  }

  /// What grows from row to row of a table: tokens, context, bytes.
  var load: Double {
    switch self {
    case .gemm(let gemm): return gemm.rows
    case .grouped(let gemm): return gemm.rows
    case .decodeAttention(let attention): return attention.context
    case .prefillAttention(let attention): return (2 * attention.pairs).squareRoot()
    case .stream(let stream): return stream.bytes
    case .exchange(let exchange):
      let copies = exchange.isLowLatency ? exchange.copies : exchange.logicalCopies
      return exchange.rows * copies * exchange.rowBytes * exchange.imbalance
    case .collective(let collective): return collective.bytes
    }
  }

  /// What tells the curves of a table apart.
  var coordinates: [Double] {
    switch self {
    case .gemm(let gemm): return [gemm.n, gemm.k]
    case .grouped(let gemm): return [gemm.groups, gemm.n, gemm.k]
    case .decodeAttention(let attention):
      return [attention.sequences, attention.queries * attention.heads / attention.keyHeads]
    case .prefillAttention(let attention): return [attention.sequences, attention.heads]
    case .stream: return []
    case .exchange(let exchange): return [exchange.ranks]
    case .collective(let collective): return [collective.ranks]
    }
  }

  /// Operations of arithmetic; an addition and a multiplication count as two.
  public var operations: Double {
    switch self {
    case .gemm(let gemm): return 2 * gemm.rows * gemm.n * gemm.k
    case .grouped(let gemm): return 2 * gemm.groups * gemm.rows * gemm.n * gemm.k
    case .decodeAttention(let attention):
      return 2 * attention.sequences * attention.queries * attention.context * attention.heads
        * (attention.keySize + attention.valueSize)
    case .prefillAttention(let attention):
      return 2 * attention.sequences * attention.pairs * attention.heads
        * (attention.keySize + attention.valueSize)
    case .stream(let stream): return stream.operations
    case .exchange, .collective: return 0
    }
  }

  /// Bytes through the device's memory, or through its links for exchanges and collectives.
  public var bytes: Double {
    switch self {
    case .gemm(let gemm):
      return gemm.n * gemm.k * gemm.format.bytes
        + gemm.rows * (gemm.k * gemm.format.activationBytes + gemm.n * 2)
    case .grouped(let gemm):
      let rows = gemm.groups * gemm.rows
      return gemm.groups * gemm.n * gemm.k * gemm.format.bytes
        + rows * (gemm.k * gemm.format.activationBytes + gemm.n * 2)
    case .decodeAttention(let attention), .prefillAttention(let attention):
      let entry = attention.keySize + (attention.sharesKey ? 0 : attention.valueSize)
      return attention.sequences
        * (attention.context * attention.keyHeads * entry * attention.format.bytes
          + attention.queries * attention.heads * (attention.keySize + attention.valueSize) * 2)
    case .stream(let stream): return stream.bytes
    case .exchange(let exchange): return exchange.scaleOutBytes + exchange.scaleUpBytes
    case .collective(let collective): return collective.traffic
    }
  }

  /// What it asks of a device.
  public func work(on hardware: Hardware) -> Work {
    switch self {
    case .gemm(let gemm):
      return Work(
        compute: operations / hardware.peak(for: gemm.format),
        memory: bytes / hardware.memoryBandwidth, depth: gemm.k)
    case .grouped(let gemm):
      return Work(
        compute: operations / hardware.peak(for: gemm.format),
        memory: bytes / hardware.memoryBandwidth, depth: gemm.k)
    case .decodeAttention(let attention), .prefillAttention(let attention):
      return Work(
        compute: operations / hardware.peak(for: attention.arithmetic),
        memory: bytes / hardware.memoryBandwidth)
    case .stream(let stream):
      return Work(
        compute: operations / hardware.peak(for: .bf16), memory: bytes / hardware.memoryBandwidth,
        depth: stream.launches)
    case .exchange(let exchange):
      return Work(
        scaleOut: exchange.scaleOutBytes / hardware.scaleOutBandwidth,
        scaleUp: exchange.scaleUpBytes / hardware.scaleUpBandwidth, depth: exchange.ranks)
    case .collective(let collective):
      // Rings, as many as a node has devices, each enter and leave it through another one's link
      // and pass all its devices in between; the slower of both ways sets their pace.
      let inside = min(collective.node, collective.ranks)
      let up = inside > 1 ? collective.traffic / hardware.scaleUpBandwidth : 0
      let out =
        collective.ranks <= collective.node
        ? 0 : collective.traffic / inside / hardware.scaleOutBandwidth
      return Work(
        scaleOut: out >= up ? out : 0, scaleUp: out >= up ? 0 : up, depth: collective.steps)
    }
  }
}

extension Kernel.Exchange {
  /// The ranks a token goes to when its copies fall on random ranks.
  var ranksVisited: Double {
    ranks * (1 - pow(1 - 1 / max(ranks, 1), copies))
  }

  /// Nodes of the group.
  var nodes: Double { max(1, ranks / node) }

  /// Copies that published bandwidths count: one for each node, or each rank where there is only
  /// one node; the sender's own counts.
  var logicalCopies: Double { nodes > 1 ? nodesVisited : ranksVisited }

  /// Bytes that leave the busiest rank's node.
  var scaleOutBytes: Double {
    let away = 1 - 1 / nodes
    return rows * rowBytes * imbalance * (isLowLatency ? copies : nodesVisited) * away
  }

  /// Bytes that go to other ranks of a node, the forwarded ones counted.
  var scaleUpBytes: Double {
    let inside = min(node, ranks)
    let others = 1 - 1 / max(inside, 1)
    let sent = isLowLatency ? copies / nodes : ranksVisited
    return rows * rowBytes * imbalance * sent * others
  }
}

extension Kernel.Collective {
  /// Bytes that the busiest link of a rank carries one way: rings, or a tree of equal traffic.
  var traffic: Double {
    let share = (ranks - 1) / max(ranks, 1)
    switch form {
    case .allReduce: return 2 * share * bytes
    case .allGather, .reduceScatter: return share * bytes
    case .pointToPoint: return bytes
    }
  }

  /// Hops that follow one another.
  var steps: Double {
    let hops = ranks > 1 ? log2(ranks).rounded(.up) : 0
    return form == .allReduce ? 2 * hops : hops
  }
}

extension Precision.Format {
  /// Bytes of an activation that is multiplied with a weight of this format.
  var activationBytes: Double {
    switch self {
    case .fp32: return 4
    case .bf16, .fp16, .int4, .mxfp4: return 2
    case .fp8, .int8: return 1
    case .nvfp4: return 0.5625
    }
  }
}

extension Hardware {
  /// Peaks by the format of weights. A device without arithmetic in a format computes in bf16.
  struct Rates: Hashable, Sendable {
    private var fp32, bf16, fp8, int8, mxfp4, nvfp4: Double
    /// Whether there is 4-bit arithmetic.
    fileprivate let hasFP4: Bool

    init(_ peaks: [String: Double]) {
      bf16 = peaks["bf16"] ?? peaks.values.min() ?? 1e12
      fp32 = peaks["fp32"] ?? bf16 / 2
      fp8 = peaks["fp8"] ?? bf16
      int8 = peaks["int8"] ?? bf16
      hasFP4 = peaks["fp4"] != nil
      // Where there is 4-bit arithmetic, MXFP4 weights are multiplied with 8-bit activations.
      mxfp4 = hasFP4 ? fp8 : bf16
      nvfp4 = peaks["fp4"] ?? fp8
    }

    fileprivate subscript(format: Precision.Format) -> Double {
      switch format {
      case .fp32: fp32
      case .bf16, .fp16, .int4: bf16
      case .mxfp4: mxfp4
      case .fp8: fp8
      case .int8: int8
      case .nvfp4: nvfp4
      }
    }
  }

  /// Whether weights of that format become another one before they are multiplied.
  func unpacks(_ format: Precision.Format) -> Bool {
    switch format {
    case .int4: true
    case .mxfp4, .nvfp4: !rates.hasFP4
    case .fp32, .bf16, .fp16, .fp8, .int8: false
    }
  }

  /// Operations a second of matrix products with weights of that format.
  public func peak(for format: Precision.Format) -> Double { rates[format] }
}
