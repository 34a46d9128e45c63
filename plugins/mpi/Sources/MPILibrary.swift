internal import CEPMPI
public import EPBackend
internal import EPModel
internal import Glibc

/// The MPI that plugins/mpi/build was compiled against, loaded and started.
@safe
public final class MPILibrary: @unchecked Sendable {
  /// This process's rank.
  public let rank: Int
  /// How many processes there are.
  public let count: Int
  private let table: epc_mpi_table

  /// Where the library may be: what `EPC_MPI_LIBRARY` names, beside an installed command, or in the
  /// checkout that a command was built in.
  public static func places(environment: [String: String], executable: String) -> [String] {
    if let named = environment["EPC_MPI_LIBRARY"], !named.isEmpty { return [named] }
    var places: [String] = []
    var folder = executable
    // <prefix>/bin/epc, or .build/<triple>/<configuration>/epc in a checkout.
    for level in 0..<5 {
      guard let slash = folder.lastIndex(of: "/") else { break }
      folder = String(folder[..<slash])
      if level == 1 { places.append(folder + "/lib/epc/libepc-mpi.so") }
      places.append(folder + "/plugins/mpi/lib/libepc-mpi.so")
    }
    return places
  }

  /// Loads the library from the first place that has it and joins the other processes.
  public init(environment: [String: String], executable: String) throws(BackendError) {
    let places = MPILibrary.places(environment: environment, executable: executable)
    guard let path = places.first(where: { unsafe access($0, R_OK) == 0 }) else {
      throw .transport(
        "the mpi backend needs libepc-mpi.so, which is not at "
          + (places.count == 1 ? places[0] : "its place")
          + "; install Open MPI (libopenmpi-dev) and run scripts/setup, or set EPC_MPI_LIBRARY")
    }
    var reason = [CChar](repeating: 0, count: 512)
    guard let loaded = unsafe epc_mpi_load(path, &reason, reason.count) else {
      throw .transport(
        "MPI cannot be loaded: \(MPILibrary.text(reason)); run scripts/setup")
    }
    unsafe table = loaded.pointee
    var (rank, count): (Int32, Int32) = (0, 0)
    let error = unsafe table.start(&rank, &count)
    (self.rank, self.count) = (Int(rank), Int(count))
    if error != 0 { throw MPILibrary.failure(error, "MPI cannot be started", table) }
  }

  /// Leaves the other processes; all must.
  public func finish() throws(BackendError) {
    try check(table.finish(), "MPI cannot be ended")
  }

  /// Ends all processes.
  public func abort(code: Int32) { table.abort(code) }

  private static func failure(
    _ error: Int32, _ what: String, _ table: epc_mpi_table
  ) -> BackendError {
    var words = [CChar](repeating: 0, count: 512)
    unsafe table.describe(error, &words, words.count)
    return .transport("\(what): \(text(words))")
  }

  /// What C wrote into a buffer.
  private static func text(_ words: [CChar]) -> String {
    String(decoding: words.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private func check(_ error: Int32, _ what: String) throws(BackendError) {
    if error != 0 { throw MPILibrary.failure(error, what, table) }
  }

  // MARK: Movement

  /// Makes a group of ranks; all of them must.
  func makeGroup(_ ranks: [Int]) throws(BackendError) -> Int32 {
    var handle: Int32 = -1
    let members = ranks.map(Int32.init)
    try check(
      unsafe table.group(members, Int32(members.count), &handle), "a group of ranks cannot meet")
    return handle
  }

  /// Starts an exchange and returns what to wait for.
  func start(_ exchange: Exchange, in group: Int32) throws(BackendError) -> Int32 {
    var request: Int32 = -1
    if let rows = exchange.rows {
      let error = unsafe table.exchange_rows(
        group, Int32(rows.sent.count), Int64(4 * rows.width), rows.x.base, rows.rows.indices,
        rows.sent.map(Int64.init), rows.result.base, rows.places?.indices,
        rows.received.map(Int64.init), &request)
      try check(error, "'\(exchange.kind.rawValue)' cannot start")
      return request
    }
    var sends = unsafe exchange.sends.map { unsafe Optional($0.base) }
    var receives = unsafe exchange.receives.map { unsafe Optional($0.base) }
    let sent = exchange.sends.map { Int64($0.bytes) }
    let received = exchange.receives.map { Int64($0.bytes) }
    let error = unsafe table.exchange(
      group, Int32(sent.count), &sends, sent, &receives, received, &request)
    try check(error, "'\(exchange.kind.rawValue)' cannot start")
    return request
  }

  /// Sends a copy of a block.
  func send(_ block: Memory, to rank: Int) throws(BackendError) {
    try check(
      unsafe table.send(Int32(rank), block.base, Int64(block.bytes)),
      "a block cannot be sent to rank \(rank)")
  }

  /// Starts receiving a block and returns what to wait for.
  func receive(_ place: Memory, from rank: Int) throws(BackendError) -> Int32 {
    var request: Int32 = -1
    try check(
      unsafe table.receive(Int32(rank), place.base, Int64(place.bytes), &request),
      "a block cannot be received from rank \(rank)")
    return request
  }

  /// Lets a request move on.
  func progress(_ request: Int32) throws(BackendError) {
    try check(table.progress(request), "an exchange cannot go on")
  }

  /// Waits for a request.
  func wait(for request: Int32) throws(BackendError) {
    try check(table.wait(request), "an exchange did not complete")
  }
}

extension MPILibrary {
  /// Gives every process the bytes of every process, in the order of their ranks. All must call it.
  public func gather(_ bytes: [UInt8]) throws(BackendError) -> [[UInt8]] {
    var counts = [Int64](repeating: 0, count: count)
    try check(unsafe table.gather_counts(Int64(bytes.count), &counts), "processes cannot meet")
    let whole = Int(counts.reduce(0, +))
    var all = [UInt8](repeating: 0, count: max(whole, 1))
    try check(unsafe table.gather(bytes, counts, &all), "results cannot be shared")
    var start = 0
    return counts.map { count in
      defer { start += Int(count) }
      return Array(all[start..<(start + Int(count))])
    }
  }
}
