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
        + "(\(Units.percent(hits, of: hits + misses))); read \(Units.bytes(bytesRead))"
        + (leastBytesRead.map { ", \(Units.bytes($0)) knowing the future" } ?? "")
        + (unusedBytes > 0 ? "; \(Units.bytes(unusedBytes)) guessed in vain" : ""),
      "waited \(seconds(stallSeconds))"
        + (stallRate.map { ", reading \(Units.bytes(Int($0))) a second" } ?? "")
        + "; made ready in \(seconds(installSeconds)) of other threads",
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
      "unused_bytes": .int(unusedBytes),
      "hit_rate": hitRate.map(Document.real), "bytes_read": .int(bytesRead),
      "least_bytes_read": leastBytesRead.map(Document.int),
      "decode_bytes_read": .int(decodeBytesRead), "stall_seconds": .real(stallSeconds),
      "stall_bytes": .int(stallBytes),
      "install_seconds": .real(installSeconds),
    ])
  }
}

extension MemoryNeeds {
  /// What a run took of memory, for people.
  func text(experts: StreamStatistics?) -> String {
    var parts = ["weights \(Units.bytes(weights))"]
    if let experts { parts.append("experts \(Units.bytes(experts.residentBytes))") }
    parts += [
      "caches \(Units.bytes(caches))", "values \(Units.bytes(values))",
      "the program \(Units.bytes(program))",
    ]
    return "memory: \(parts.joined(separator: ", ")); at most \(Units.bytes(PeakMemory.bytes))"
  }

  /// The same as JSON.
  func document(experts: StreamStatistics?) -> Document {
    .object([
      "weight_bytes": .int(weights), "expert_bytes": experts.map { .int($0.residentBytes) },
      "cache_bytes": .int(caches), "value_bytes": .int(values), "program_bytes": .int(program),
      "peak_bytes": .int(PeakMemory.bytes),
    ])
  }
}
