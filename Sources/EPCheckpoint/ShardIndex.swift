import EPJSON

/// The index of a sharded checkpoint: which shard holds which tensor.
struct ShardIndex {
  /// The file it was read from.
  let path: String
  /// The names of the shards, in order and without repetition.
  let shards: [String]
  /// The shard of each tensor.
  private let placement: [(tensor: String, shard: String)]

  /// Reads an index; the names of its shards are proven to be plain file names.
  init(path: String) throws(CheckpointError) {
    let limits = JSONLimits(maxBytes: SafetensorsHeader.maximumLength, maxDepth: 16)
    let file = try OpenFile(path: path)
    // What is too long for the parser is refused by it.
    let text = try file.bytes(0..<min(file.byteCount, limits.maxBytes + 1))
    var placement: [(tensor: String, shard: String)] = []
    do throws(JSONError) {
      let root = try JSONNode(JSONValue.parse(bytes: text, limits: limits))
      for (tensor, node) in try root["weight_map"].entries {
        placement.append((tensor, try node.string(maxLength: 255)))
      }
    } catch {
      throw .malformed(file: path, problem: "\(error)")
    }
    let shards = Set(placement.map(\.shard)).sorted()
    for shard in shards where !Self.isPlainFileName(shard) {
      throw .unsafeShardName(shard: shard, file: path)
    }
    self.path = path
    self.placement = placement
    self.shards = shards
  }

  /// Proves that the shards hold the tensors that the index places in them, and no others.
  func check(against tensors: [String: TensorInfo]) throws(CheckpointError) {
    for (name, shard) in placement where tensors[name]?.file != shard {
      throw .missingFromShard(tensor: name, shard: shard, file: path)
    }
    guard tensors.count > placement.count else { return }
    let placed = Set(placement.map(\.tensor))
    let strays = tensors.values.filter { !placed.contains($0.name) }
    if let stray = strays.min(by: { $0.name < $1.name }) {
      throw .missingFromIndex(tensor: stray.name, shard: stray.file, file: path)
    }
  }

  /// Whether a name stays in its folder.
  private static func isPlainFileName(_ name: String) -> Bool {
    name.hasSuffix(".safetensors") && !name.hasPrefix(".")
      && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 }
  }
}
