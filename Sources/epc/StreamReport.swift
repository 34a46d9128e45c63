import EPModel
import EPReport
import EPRuntime

extension StreamStatistics {
  /// What streaming took, for people.
  func text(tokens: Int) -> String {
    var lines = [
      "experts: \(Units.bytes(residentBytes)) of \(Units.bytes(expertBytes)) in memory, room for "
        + "\(Units.bytes(capacity))",
      "experts were there \(hits) of \(hits + misses) times "
        + "(\(Units.percent(hits, of: hits + misses))); read \(Units.bytes(bytesRead)), waited "
        + "\(seconds(stallSeconds)), made ready in \(seconds(installSeconds))",
    ]
    if tokens > 1 {
      lines.append("after the first token \(Units.bytes(decodeBytesRead / (tokens - 1))) a token")
    }
    return lines.joined(separator: "\n")
  }

  private func seconds(_ value: Double) -> String {
    value < 10 ? "\(Int((value * 1000).rounded())) ms" : "\(Int(value.rounded())) s"
  }

  /// The same as JSON.
  var document: Document {
    .object([
      "capacity_bytes": .int(capacity), "expert_bytes": .int(expertBytes),
      "resident_bytes": .int(residentBytes), "hits": .int(hits),
      "guessed_hits": .int(guessedHits), "misses": .int(misses),
      "hit_rate": hitRate.map(Document.real), "bytes_read": .int(bytesRead),
      "decode_bytes_read": .int(decodeBytesRead), "stall_seconds": .real(stallSeconds),
      "install_seconds": .real(installSeconds),
    ])
  }
}
