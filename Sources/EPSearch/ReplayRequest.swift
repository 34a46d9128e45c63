public import EPIR
internal import EPJSON
internal import EPPlacement
internal import Glibc

/// A request of a replay.
public struct ReplayRequest: Hashable, Sendable {
  /// Seconds after the start.
  public var arrival: Double
  /// Tokens of the prompt.
  public var promptLength: Int
  /// Tokens of the prompt that are computed; the others are in a prefix cache.
  public var tokensRead: Int
  /// Tokens made.
  public var outputLength: Int

  /// Makes a request.
  public init(arrival: Double, promptLength: Int, tokensRead: Int, outputLength: Int) {
    self.arrival = arrival
    self.promptLength = promptLength
    self.tokensRead = tokensRead
    self.outputLength = outputLength
  }
}

/// Where the requests of a replay come from.
public enum ReplayLoad: Hashable, Sendable {
  /// Independent of each other, so many a second on average.
  case poisson(Double)
  /// Evenly, so many a second.
  case constant(Double)
  /// From a trace.
  case trace([ReplayRequest])

  /// The most requests of a trace.
  public static let mostRequests = 4_000_000

  /// Refuses a number of requests that no replay takes.
  public static func check(count: Int) throws(Diagnostics) {
    if count < 1 || count > mostRequests {
      throw Diagnostics("flag", "'--requests \(count)'; it is between 1 and \(mostRequests)")
    }
  }

  /// `count` requests of given lengths, drawn from a seed; a trace's own.
  public func requests(
    count: Int, promptLength: Int, tokensRead: Int, outputLength: Int, seed: UInt64 = 1
  ) -> [ReplayRequest] {
    var random = SeededRandom(seed: seed)
    var clock = 0.0
    func request() -> ReplayRequest {
      ReplayRequest(
        arrival: clock, promptLength: promptLength, tokensRead: tokensRead,
        outputLength: outputLength)
    }
    switch self {
    case .trace(let requests): return requests
    case .constant(let rate):
      return (0..<count).map { index in
        clock = Double(index) / rate
        return request()
      }
    case .poisson(let rate):
      return (0..<count).map { _ in
        clock -= log(1 - random.unit()) / rate
        return request()
      }
    }
  }

  /// Reads a trace in Mooncake's format: a JSON object a line with `timestamp` in milliseconds,
  /// `input_length`, `output_length`, and maybe `hash_ids`, one for each 512 tokens of the prompt. A
  /// block whose hash, and those of all blocks before it, came up earlier is in the prefix cache.
  public static func trace(
    _ bytes: [UInt8], named name: String
  ) throws(Diagnostics) -> ReplayLoad {
    var requests: [ReplayRequest] = []
    var seen: Set<Int> = []
    var number = 0
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      if line.allSatisfy({ $0 == 32 || $0 == 9 || $0 == 13 }) { continue }
      if requests.count == mostRequests {
        throw Diagnostics(
          "replay-trace", "more than \(mostRequests) requests", at: "\(name):\(number)")
      }
      do {
        let node = JSONNode(try JSONValue.parse(bytes: Array(line)))
        let length = try node["input_length"].int(in: 1...(1 << 24))
        var cached = 0
        if let hashes = try node.optional("hash_ids") {
          var isPrefix = true
          for hash in try hashes.ints(in: 0...(1 << 53)) {
            if isPrefix && seen.contains(hash) { cached += 512 } else { isPrefix = false }
            seen.insert(hash)
          }
        }
        requests.append(
          ReplayRequest(
            arrival: try node["timestamp"].double(in: 0...1e12) / 1e3, promptLength: length,
            // The last token is always computed: its logits are needed.
            tokensRead: max(1, length - cached),
            outputLength: try node["output_length"].int(in: 1...(1 << 24))))
      } catch { throw Diagnostics("replay-trace", error.description, at: "\(name):\(number)") }
    }
    if requests.isEmpty { throw Diagnostics("replay-trace", "no requests", at: name) }
    requests.sort { $0.arrival < $1.arrival }
    return .trace(requests)
  }
}
