import CEPCheckpoint
import Glibc
import Synchronization
import Testing

@testable import EPCheckpoint

/// Bytes read by threads are those of the file, and what goes wrong says where.
@Suite struct ReaderTests {
  private let folder: TemporaryFolder
  private let path: String
  private let bytes: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    var random = SeededGenerator(5)
    // Several pieces long, and no whole number of blocks.
    let words = (0..<((3 << 17) + 154)).map { _ in random.next() }
    let data = unsafe words.withUnsafeBytes { unsafe [UInt8]($0) }
    bytes = safetensors([RawEntry("w", "U8", [data.count], data)])
    path = try folder.write("model.safetensors", bytes)
  }

  private func randomRange(_ random: inout SeededGenerator) -> FileRange {
    let length = Int.random(in: 1...Int.random(in: 1...bytes.count, using: &random), using: &random)
    let start = Int.random(in: 0...(bytes.count - length), using: &random)
    return FileRange(file: 0, bytes: start..<(start + length))
  }

  private func expect(_ read: PendingRead, gives ranges: [FileRange]) throws {
    try read.withBytes { (staged) throws(CheckpointError) in
      for range in ranges {
        let isEqual = unsafe staged.withBytes(range) { found in
          unsafe bytes.withUnsafeBytes { all in
            guard let a = found.baseAddress, let b = all.baseAddress else { return false }
            return unsafe memcmp(a, b + range.bytes.lowerBound, range.count) == 0
          }
        }
        #expect(isEqual, "\(range)")
      }
    }
  }

  @Test(arguments: [1, 2, 7])
  func rangesAreRead(threads: Int) throws {
    let reader = try CheckpointReader(try Checkpoint.open(path), threads: threads)
    var random = SeededGenerator(UInt64(threads))
    var pending: [(PendingRead, [FileRange])] = []
    for number in 0..<60 {
      let ranges = (0..<Int.random(in: 1...3, using: &random)).map { _ in randomRange(&random) }
      let priority = CheckpointReader.Priority(rawValue: number % 3) ?? .now
      pending.append((try reader.read(ranges.joined(gap: 10), priority: priority), ranges))
      if number % 5 == 0 { pending.randomElement(using: &random)?.0.hurry(.now) }
      // Some are given up, whether they have begun or not.
      if number % 7 == 3 { pending.remove(at: Int.random(in: 0..<pending.count, using: &random)) }
      if pending.count > 12, let done = reader.waitForAny(of: pending.map(\.0)) {
        let (read, ranges) = pending.remove(at: done)
        #expect(read.isComplete)
        try expect(read, gives: ranges)
      }
    }
    for (read, ranges) in pending { try expect(read, gives: ranges) }
    #expect(reader.bytesRead > 0)
    #expect(reader.waitForAny(of: []) == nil)
  }

  @Test(arguments: [1, 3])
  func workFollowsWhatWasRead(workers: Int) throws {
    let reader = try CheckpointReader(try Checkpoint.open(path), threads: 2, workers: workers)
    var random = SeededGenerator(UInt64(workers))
    let sums = Sums()
    var pending: [(read: PendingRead, number: Int, expected: Int)] = []
    var given: [(Int, Int)] = []
    for number in 0..<80 {
      let range = randomRange(&random)
      let tasks = Int.random(in: 1...5, using: &random)
      let sum = bytes[range.bytes].reduce(0) { $0 + Int($1) }
      let read = try reader.read(
        [range], priority: CheckpointReader.Priority(rawValue: number % 3) ?? .now, tasks: tasks
      ) { task, staged in
        sums.add(unsafe staged.withBytes(range) { unsafe $0.reduce(task) { $0 + Int($1) } }, number)
      }
      if number % 9 == 7 {
        read.cancel()
        switch failure(of: read) {
        case nil: #expect(sums[number] == tasks * sum + tasks * (tasks - 1) / 2)
        case .readFailed(path, _, code: ECANCELED): given.append((number, sums[number]))
        case let other: Issue.record("\(String(describing: other))")
        }
        continue
      }
      if number % 6 == 5 {
        // Whatever it has come to, nothing is done for it afterwards.
        read.giveUp()
        let before = sums[number]
        #expect(read.isComplete && before <= tasks * sum + tasks * tasks)
        given.append((number, before))
        continue
      }
      pending.append((read, number, tasks * sum + tasks * (tasks - 1) / 2))
      if number % 4 == 0 { pending.randomElement(using: &random)?.read.hurry(.now) }
      if pending.count > 9, let first = reader.waitForAny(of: pending.map(\.read)) {
        let done = pending.remove(at: first)
        try done.read.finish()
        #expect(sums[done.number] == done.expected)
      }
    }
    // Work without anything to read is done too.
    let alone = try reader.read([], priority: .now, tasks: 3) { task, _ in sums.add(task, 99) }
    try alone.finish()
    #expect(sums[99] == 3)
    for (read, number, expected) in pending {
      try read.finish()
      #expect(sums[number] == expected)
    }
    for (number, before) in given { #expect(sums[number] == before) }
    #expect(throws: CheckpointError.self) {
      try CheckpointReader(try Checkpoint.open(path)).read([], priority: .now, tasks: 1) { _, _ in }
    }
  }

  private func failure(of read: PendingRead) -> CheckpointError? {
    do { try read.finish() } catch { return error }
    return nil
  }

  private final class Sums: Sendable {
    private let values = Mutex([Int: Int]())

    func add(_ value: Int, _ number: Int) { values.withLock { $0[number, default: 0] += value } }

    subscript(_ number: Int) -> Int { values.withLock { $0[number] ?? 0 } }
  }

  @Test func rangesAreJoinedAcrossSmallHoles() {
    func range(_ file: Int, _ bytes: Range<Int>) -> FileRange {
      FileRange(file: file, bytes: bytes)
    }
    let ranges = [
      range(1, 5..<9), range(0, 30..<40), range(0, 0..<10), range(0, 8..<20), range(0, 4..<4),
    ]
    #expect(ranges.joined(gap: 9) == [range(0, 0..<20), range(0, 30..<40), range(1, 5..<9)])
    #expect(ranges.joined(gap: 10) == [range(0, 0..<40), range(1, 5..<9)])
  }

  @Test func aFileThatBecameShorterIsAnErrorWithThePlace() throws {
    let reader = try CheckpointReader(try Checkpoint.open(path), threads: 2)
    let whole = FileRange(file: 0, bytes: 0..<bytes.count)
    #expect(unsafe truncate(path, 2_500_000) == 0)
    let error = #expect(throws: CheckpointError.self) {
      try reader.read([whole], priority: .now).withBytes { _ in }
    }
    guard case .endsEarly(path, let offset, bytes.count) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(offset >= 2_500_000 && offset < bytes.count)
    // What is still there can be read.
    let first = FileRange(file: 0, bytes: 10..<2_499_999)
    try expect(reader.read([first], priority: .now), gives: [first])
  }

  @Test func aFileThatIsCutWhileItIsOpenIsAnError() throws {
    let values = RawEntry("v", "F32", [3000, 1000], [UInt8](repeating: 1, count: 12_000_000))
    let cut = try folder.write("cut.safetensors", safetensors([values]))
    let checkpoint = try Checkpoint.open(cut)
    let shape = WeightShape([3000, 1000])
    let weight = try checkpoint.resolve(StoredTensor("v"), as: shape)
    #expect(try weight.values(shape.all).count == 3_000_000)
    #expect(unsafe truncate(cut, 5_000_000) == 0)
    let error = #expect(throws: CheckpointError.self) { try weight.values(shape.all) }
    guard case .endsEarly(cut, offset: 5_000_000, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    let start = WeightSlice(rows: 0..<1000, columns: 0..<1000)
    #expect(try weight.values(start).count == 1_000_000)
  }

  @Test func aFileThatWasReplacedIsReadAsItWasOpened() throws {
    let checkpoint = try Checkpoint.open(path)
    #expect(unsafe unlink(path) == 0)
    try folder.write("model.safetensors", [UInt8](repeating: 1, count: 100))
    let all = FileRange(file: 0, bytes: 0..<bytes.count)
    let reader = try CheckpointReader(checkpoint)
    try expect(reader.read([all], priority: .now), gives: [all])
  }

  @Test func requestsThatCannotBeAreRefused() throws {
    let known = try Checkpoint.open(path).files[0]
    var code: Int32 = 0
    guard
      let file = unsafe epc_read_file_open(known.descriptor, true, &code),
      let reader = unsafe epc_reader_create(1, 0, &code)
    else {
      Issue.record("no reader: \(code)")
      return
    }
    let memory = try ReadBuffer(count: 8192)
    let size = UInt64(bytes.count)
    func submit(_ offset: UInt64, _ length: UInt64, room: UInt64 = 8192, shift: Int = 0) -> Bool {
      var range = unsafe epc_read_range(
        file: file, offset: offset, length: length, memory: memory.base + shift, room: room)
      guard
        let read = unsafe epc_reader_submit(
          reader, &range, 1, epc_read_work(), EPC_READ_NOW)
      else { return false }
      unsafe epc_reader_release(reader, read)
      return true
    }
    #expect(submit(0, 1) && submit(size - 1, 1) && submit(4095, 4097))
    #expect(!submit(0, 0) && !submit(size, 1) && !submit(size - 1, 2))
    #expect(!submit(1, .max) && !submit(.max, 1) && !submit(.max - 5, 3))
    #expect(!submit(4095, 4098) && !submit(0, 4097, room: 4096) && !submit(0, 1, shift: 8))
    let none = unsafe epc_reader_create(0, 0, &code) == nil
    #expect(none && code == EINVAL)
    unsafe epc_reader_destroy(reader)
    unsafe epc_read_file_close(file)
  }
}
