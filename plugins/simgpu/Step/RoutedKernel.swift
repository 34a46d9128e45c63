internal import CEPSimulation
internal import EPCost

/// A kernel that works on the rows routed to a rank: a table of its time for every number of experts
/// that have rows.
@safe
final class RoutedKernel: @unchecked Sendable {
  private let kernel: Kernel
  private let bytesWithoutRows: Double
  private let bytesPerRow: Double
  private let gap: Ticks
  private let slowdown: Double
  private let model: CostModel
  private let most: Int
  private var tables: [LoadTable?]
  private let entries: Numbers<epc_table>

  /// Makes a kernel known at two loads.
  ///
  /// - Parameters:
  ///   - samples: the kernel at two numbers of rows.
  ///   - slots: slots for experts of a rank.
  ///   - gap: ticks between it and the kernel before.
  ///   - slowdown: how much longer it takes beside what runs at the same time.
  ///   - most: rows that tables should cover.
  init(
    samples: (rows: Double, kernel: Kernel, other: Double, otherKernel: Kernel), slots: Int,
    gap: Ticks, slowdown: Double, most: Int, model: CostModel
  ) {
    kernel = samples.kernel
    let slope = (samples.otherKernel.bytes - samples.kernel.bytes) / (samples.other - samples.rows)
    bytesPerRow = slope
    bytesWithoutRows = samples.kernel.bytes - slope * samples.rows
    self.gap = gap
    self.slowdown = slowdown
    self.model = model
    self.most = most
    tables = Array(repeating: nil, count: slots + 1)
    unsafe entries = unsafe Numbers(repeating: epc_table(ticks: nil, most: 0), count: slots + 1)
  }

  /// Tables for ranks of which so many experts have rows.
  func prepare(active: [Int]) {
    for count in active where count > 0 && count < tables.count && tables[count] == nil {
      let table = LoadTable(upTo: most) { self.time(rows: $0, active: count) }
      tables[count] = table
      unsafe entries[count] = unsafe table.table
    }
  }

  var table: Numbers<epc_table> { unsafe entries }

  /// The time of `rows` rows over `active` experts.
  func time(rows: Int, active: Int) -> Ticks {
    var kernel = kernel
    switch kernel {
    case .grouped(var gemm):
      gemm.groups = Double(active)
      gemm.rows = Double(rows) / Double(active)
      kernel = .grouped(gemm)
    case .stream(var stream):
      stream.bytes = max(bytesWithoutRows + bytesPerRow * Double(rows), 0)
      kernel = .stream(stream)
    case .gemm(var gemm):
      gemm.rows = Double(rows)
      kernel = .gemm(gemm)
    case .decodeAttention, .prefillAttention, .exchange, .collective: break
    }
    return Ticks(seconds: model.time(of: kernel).value * slowdown) + gap
  }
}

/// An exchange of routed rows: its time by how much more than even routing's the busiest link carries.
final class RoutedExchange: Sendable {
  /// The exchange under even routing.
  let exchange: Kernel.Exchange
  /// Seconds of a row on the links out of a node, and on those inside.
  let secondsOfRow: (far: Double, near: Double)
  /// Seconds that the busiest kind of link is in use under even routing.
  let evenSeconds: Double
  /// Ticks by ratio, in parts of `EPC_RATIO_ONE`.
  let table: LoadTable

  /// Makes an exchange that takes `slowdown` times as long as alone, and as much more as a barrier of
  /// so large a share of it under even routing does.
  init(
    _ exchange: Kernel.Exchange, model: CostModel, slowdown: Double = 1, barrier: Double = 0
  ) {
    var even = exchange
    even.imbalance = 1
    self.exchange = even
    let hardware = model.hardware
    secondsOfRow = (
      even.rowBytes / hardware.scaleOutBandwidth, even.rowBytes / hardware.scaleUpBandwidth
    )
    evenSeconds = Kernel.exchange(even).work(on: hardware).floor
    let one = Double(EPC_RATIO_ONE)
    let waiting = barrier > 0 ? barrier * model.time(of: .exchange(even)).value : 0
    table = LoadTable(upTo: 64 * Int(EPC_RATIO_ONE)) { ratio in
      var exchange = even
      exchange.imbalance = Double(ratio) / one
      return Ticks(
        seconds: (model.time(of: .exchange(exchange)).value + waiting) * slowdown)
    }
  }
}
