/// Traffic by pool and layer, on its way between processes: six words of 8 bytes an entry.
enum TrafficTable {
  /// The tables as bytes.
  static func bytes(of pools: [[Int: Traffic]]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (pool, layers) in pools.enumerated() {
      for (layer, traffic) in layers.sorted(by: { $0.key < $1.key }) {
        for word in [
          pool, layer, traffic.localRows, traffic.remoteRows, traffic.dispatchBytes,
          traffic.combineBytes,
        ] {
          for shift in stride(from: 0, to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: word >> shift))
          }
        }
      }
    }
    return bytes
  }

  /// The sums of the tables of all processes.
  static func sum(_ all: [[UInt8]], pools: Int) -> [[Int: Traffic]] {
    var sums: [[Int: Traffic]] = Array(repeating: [:], count: pools)
    for bytes in all {
      for entry in stride(from: 0, to: bytes.count - 47, by: 48) {
        let words = (0..<6).map { word in
          (0..<8).reduce(0) { $0 | Int(bytes[entry + 8 * word + $1]) << (8 * $1) }
        }
        guard sums.indices.contains(words[0]) else { continue }
        var traffic = Traffic()
        (traffic.localRows, traffic.remoteRows) = (words[2], words[3])
        (traffic.dispatchBytes, traffic.combineBytes) = (words[4], words[5])
        sums[words[0]][words[1], default: Traffic()] += traffic
      }
    }
    return sums
  }
}
