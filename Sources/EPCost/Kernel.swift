public import EPModel
internal import Glibc

/// One call of a kernel or an exchange, on one device, with every size known.
public enum Kernel: Hashable, Sendable {
  /// A matrix product with a weight.
  case gemm(Gemm)
  /// A matrix product with a weight for each group of rows.
  case grouped(GroupedGemm)
  /// Attention over a cache, where every sequence adds a few tokens.
  case decodeAttention(Attention)
  /// Causal attention over tokens that are mostly new.
  case prefillAttention(Attention)
  /// Reading and writing memory, element by element or row by row.
  case stream(Stream)
  /// All-to-All of experts, in one direction.
  case exchange(Exchange)
  /// A collective of ranks that send each other equal shares.
  case collective(Collective)

  /// A matrix product `[rows, k] x [n, k]`.
  public struct Gemm: Hashable, Sendable {
    /// Rows of activations.
    public var rows: Double
    /// Columns of the result.
    public var n: Double
    /// Contracted elements.
    public var k: Double
    /// The format of the weight; activations have the one that goes with it.
    public var format: Precision.Format

    /// Makes a product.
    public init(rows: Double, n: Double, k: Double, format: Precision.Format) {
      self.rows = rows
      self.n = n
      self.k = k
      self.format = format
    }
  }

  /// A product for each of several groups of rows with a weight of its own.
  public struct GroupedGemm: Hashable, Sendable {
    /// How rows of groups lie in memory.
    public enum Form: String, Hashable, Sendable, CaseIterable {
      /// Groups are padded to one size in place: decode.
      case masked
      /// Groups follow each other: prefill.
      case contiguous
      /// Groups are all of one size, one for each head: a batched product.
      case batched
    }
    /// How rows lie.
    public var form: Form
    /// Groups that have a row: weights are read for these.
    public var groups: Double
    /// Rows of a group, on average over those groups.
    public var rows: Double
    /// Columns of the result.
    public var n: Double
    /// Contracted elements.
    public var k: Double
    /// The format of the weights.
    public var format: Precision.Format

    /// Makes a product.
    public init(
      form: Form, groups: Double, rows: Double, n: Double, k: Double, format: Precision.Format
    ) {
      self.form = form
      self.groups = groups
      self.rows = rows
      self.n = n
      self.k = k
      self.format = format
    }
  }

  /// Attention of some sequences.
  public struct Attention: Hashable, Sendable {
    /// Sequences.
    public var sequences: Double
    /// New tokens of each.
    public var queries: Double
    /// Tokens of each that are attended to, the new ones counted.
    public var context: Double
    /// Query heads of the device.
    public var heads: Double
    /// Heads whose keys are read from memory; 1 for a latent that all heads share.
    public var keyHeads: Double
    /// Elements of a key.
    public var keySize: Double
    /// Elements of a value.
    public var valueSize: Double
    /// Whether the value is a part of the key, so that it is read once (MLA's latent).
    public var sharesKey: Bool
    /// Whether tokens are picked one by one (sparse attention).
    public var isSparse: Bool
    /// The format of the cache.
    public var format: Precision.Format
    /// The format that products of queries, keys and values are computed in.
    public var arithmetic: Precision.Format

    /// Makes attention.
    public init(
      sequences: Double, queries: Double, context: Double, heads: Double, keyHeads: Double,
      keySize: Double, valueSize: Double, sharesKey: Bool = false, isSparse: Bool = false,
      format: Precision.Format = .bf16, arithmetic: Precision.Format = .bf16
    ) {
      self.sequences = sequences
      self.queries = queries
      self.context = context
      self.heads = heads
      self.keyHeads = keyHeads
      self.keySize = keySize
      self.valueSize = valueSize
      self.sharesKey = sharesKey
      self.isSparse = isSparse
      self.format = format
      self.arithmetic = arithmetic
    }

    /// Pairs of a query and a key that it sees, of one sequence.
    public var pairs: Double { queries * max(context - queries / 2, queries / 2) }
  }

  /// Memory traffic of kernels that compute little.
  public struct Stream: Hashable, Sendable {
    /// Bytes read and written.
    public var bytes: Double
    /// Kernels launched.
    public var launches: Double
    /// Operations of arithmetic, where they are worth counting.
    public var operations: Double

    /// Makes traffic.
    public init(bytes: Double, launches: Double = 1, operations: Double = 0) {
      self.bytes = bytes
      self.launches = launches
      self.operations = operations
    }
  }

  /// All-to-All in one direction, as its busiest rank sees it.
  public struct Exchange: Hashable, Sendable {
    /// Dispatch or combine.
    public var isCombine: Bool
    /// Low-latency kernels, which send a copy for each expert; normal ones send one for each node
    /// and forward it inside.
    public var isLowLatency: Bool
    /// Ranks that take part.
    public var ranks: Double
    /// Ranks of a node.
    public var node: Double
    /// Tokens of a rank.
    public var rows: Double
    /// Copies of a token: the experts it goes to.
    public var copies: Double
    /// Nodes a token visits on average, the sender's own counted.
    public var nodesVisited: Double
    /// Bytes of a row on the wire.
    public var rowBytes: Double
    /// The format of rows on the wire.
    public var format: Precision.Format
    /// Traffic of the busiest link over the mean.
    public var imbalance: Double

    /// Makes an exchange of balanced traffic.
    public init(
      isCombine: Bool, isLowLatency: Bool, ranks: Double, node: Double, rows: Double,
      copies: Double, nodesVisited: Double, rowBytes: Double, format: Precision.Format,
      imbalance: Double = 1
    ) {
      self.isCombine = isCombine
      self.isLowLatency = isLowLatency
      self.ranks = ranks
      self.node = node
      self.rows = rows
      self.copies = copies
      self.nodesVisited = nodesVisited
      self.rowBytes = rowBytes
      self.format = format
      self.imbalance = imbalance
    }
  }

  /// A collective over ranks.
  public struct Collective: Hashable, Sendable {
    /// What ranks exchange.
    public enum Form: String, Hashable, Sendable, CaseIterable {
      case allReduce = "all_reduce"
      case allGather = "all_gather"
      case reduceScatter = "reduce_scatter"
      /// From one rank to one other: pipeline stages, and caches handed from pool to pool.
      case pointToPoint = "point_to_point"
    }
    /// What ranks exchange.
    public var form: Form
    /// Ranks that take part; 2 for point to point.
    public var ranks: Double
    /// Ranks of a node.
    public var node: Double
    /// Bytes of the whole value, which each rank has before or after.
    public var bytes: Double

    /// Makes a collective.
    public init(form: Form, ranks: Double, node: Double, bytes: Double) {
      self.form = form
      self.ranks = ranks
      self.node = node
      self.bytes = bytes
    }
  }
}

extension Precision.Format {
  /// Bytes of an element, block scales included.
  var bytes: Double { bitsPerElement / 8 }
}
