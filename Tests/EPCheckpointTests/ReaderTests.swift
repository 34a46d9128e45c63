import CEPCheckpoint
import Glibc
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

  @Test func aFileThatWasReplacedIsNotRead() throws {
    let checkpoint = try Checkpoint.open(path)
    #expect(unsafe unlink(path) == 0)
    #expect(throws: CheckpointError.system(operation: "read", file: path, code: ENOENT)) {
      try CheckpointReader(checkpoint)
    }
    try folder.write("model.safetensors", bytes)
    #expect(throws: CheckpointError.system(operation: "read", file: path, code: ESTALE)) {
      try CheckpointReader(checkpoint)
    }
  }

  @Test func requestsThatCannotBeAreRefused() throws {
    let mapped = try Checkpoint.open(path).files[0]
    var code: Int32 = 0
    guard
      let file = unsafe epc_read_file_open(
        path, mapped.identity.device, mapped.identity.inode, &code),
      let reader = unsafe epc_reader_create(1, &code)
    else {
      Issue.record("no reader: \(code)")
      return
    }
    let memory = try ReadBuffer(count: 8192)
    let size = UInt64(bytes.count)
    func submit(_ offset: UInt64, _ length: UInt64, room: UInt64 = 8192, shift: Int = 0) -> Bool {
      guard
        let read = unsafe epc_reader_submit(
          reader, file, offset, length, memory.base + shift, room, EPC_READ_NOW)
      else { return false }
      unsafe epc_reader_release(reader, read)
      return true
    }
    #expect(submit(0, 1) && submit(size - 1, 1) && submit(4095, 4097))
    #expect(!submit(0, 0) && !submit(size, 1) && !submit(size - 1, 2))
    #expect(!submit(1, .max) && !submit(.max, 1) && !submit(.max - 5, 3))
    #expect(!submit(4095, 4098) && !submit(0, 4097, room: 4096) && !submit(0, 1, shift: 8))
    let none = unsafe epc_reader_create(0, &code) == nil
    #expect(none && code == EINVAL)
    unsafe epc_reader_destroy(reader)
    unsafe epc_read_file_close(file)
  }
}
