import EPBackend
import EPBackendCPU
import EPCheckpoint
import EPIR
import EPModel
import EPPlan
import EPReference
import Glibc
import Testing

@testable import EPRuntime

/// Experts that are read when they are needed make what experts that are all in memory make.
@Suite struct StreamingTests {
  private func plan(_ number: Int, _ mesh: Mesh) throws -> Plan {
    try ReferenceCase.plan(
      of: SmallModels.program(number, drafts: number % 2), mesh: mesh, tokens: 40)
  }

  private func request(_ number: Int) -> GenerationRequest {
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number), count: 5, kept: [.logits, .routing])
    request.speculate = number % 2
    return request
  }

  private func generate(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, memory: Int?,
    _ device: CPUDevice = CPUDevice()
  ) throws -> GenerationResult {
    let store = try WeightStore(source, for: plan, memory: memory)
    return try PlanSession(plan, weights: store, device: device).generate(request)
  }

  /// The least memory that a request runs in.
  private func least(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest
  ) throws -> MemoryNeeds {
    do {
      _ = try generate(plan, source, request, memory: 1)
    } catch ExecutionError.memory(let needs, given: 1) { return needs }
    throw WeightError.table(tensor: "", problem: "1 byte was enough")
  }

  private func expectEqual(_ a: GenerationResult, _ b: GenerationResult, _ what: String) {
    for (a, b) in zip(a.prompts, b.prompts) {
      #expect(a.tokens == b.tokens, "\(what)")
      #expect(a.prefillLogits == b.prefillLogits && a.decodeLogits == b.decodeLogits, "\(what)")
      #expect(a.routes == b.routes, "\(what)")
    }
  }

  @Test(arguments: 0..<10)
  func streamedEqualsHeldBitForBit(number: Int) throws {
    for mesh in [Mesh(), Mesh(dp: 2, tp: 2, ep: 4)] {
      guard let plan = try? plan(number, mesh) else { continue }
      let request = request(number)
      let source = WeightSource.synthetic(seed: 3)
      let whole = try generate(plan, source, request, memory: nil)
      #expect(whole.statistics.streaming == nil)
      let needs = try least(plan, source, request)
      for extra in [0, 5 * needs.experts / 2, 1 << 30] {
        let streamed = try generate(plan, source, request, memory: needs.least + extra)
        expectEqual(whole, streamed, "model \(number), \(mesh), \(extra) bytes more")
        let report = try #require(streamed.statistics.streaming)
        #expect(report.residentBytes <= report.capacity)
        #expect(report.misses > 0)
        if extra == 1 << 30 {
          #expect(report.bytesRead == report.residentBytes)
          #expect(report.hits > 0)
        }
      }
      #expect(throws: ExecutionError.self) {
        try generate(plan, source, request, memory: needs.least - 1)
      }
    }
  }

  @Test(arguments: WeightFormat.allCases)
  func packedExpertsAreStreamedToo(format: WeightFormat) throws {
    let plan = try plan(1, Mesh(dp: 2, ep: 2))
    let device = CPUDevice(weights: format, threads: 2)
    let source = WeightSource.synthetic(seed: 5)
    let whole = try generate(plan, source, request(1), memory: nil, device)
    let needs: MemoryNeeds
    do {
      _ = try generate(plan, source, request(1), memory: 1, device)
      return
    } catch ExecutionError.memory(let found, _) { needs = found }
    let streamed = try generate(
      plan, source, request(1), memory: needs.least + needs.experts, device)
    expectEqual(whole, streamed, format.rawValue)
  }

  @Test(arguments: [1, 2, 5, 8])
  func aCheckpointIsStreamedAsItIsHeld(number: Int) throws {
    for mesh in [Mesh(), Mesh(dp: 2, tp: 2, ep: 4)] {
      guard let plan = try? plan(number, mesh) else { continue }
      let file = CheckpointFile(for: try self.plan(number, Mesh()), name: "stream-\(number)")
      try file.write()
      defer { unsafe _ = unlink(file.path) }
      let source = try WeightSource(parsing: file.path)
      let whole = try generate(plan, source, request(number), memory: nil)
      let needs = try least(plan, source, request(number))
      for extra in [0, 3 * needs.experts, 1 << 30] {
        let streamed = try generate(plan, source, request(number), memory: needs.least + extra)
        expectEqual(whole, streamed, "model \(number), \(mesh), \(extra) bytes more")
        #expect(try #require(streamed.statistics.streaming).bytesRead > 0)
      }
    }
  }

  @Test func aSyntheticCheckpointIsTheSyntheticModel() throws {
    let plan = try plan(1, Mesh())
    let folder = "/tmp/epc-synthetic-\(getpid())"
    func remove() {
      for name in ["model.safetensors", "model.safetensors.index.json"] {
        unsafe _ = unlink("\(folder)/\(name)")
      }
      for number in 1...9 {
        for total in 1...9 {
          unsafe _ = unlink("\(folder)/model-0000\(number)-of-0000\(total).safetensors")
        }
      }
      unsafe _ = rmdir(folder)
    }
    defer { remove() }
    let whole = try generate(plan, .synthetic(seed: 9), request(1), memory: nil)
    // One file, then several.
    for shardBytes in [1 << 30, 30_000] {
      let checkpoint = try SyntheticCheckpoint(
        of: plan, seed: 9, format: .fp32, shardBytes: shardBytes)
      try checkpoint.write(to: folder)
      let source = try WeightSource(parsing: folder)
      expectEqual(whole, try generate(plan, source, request(1), memory: nil), "held")
      expectEqual(whole, try generate(plan, source, request(1), memory: 1 << 30), "streamed")
      remove()
    }
    try SyntheticCheckpoint(of: plan, seed: 9, format: .bf16).write(to: folder)
    let rounded = try generate(
      plan, try WeightSource(parsing: folder), request(1), memory: 1 << 30)
    #expect(difference(rounded.prompts[0].prefillLogits, whole.prompts[0].prefillLogits) < 0.2)
    #expect(rounded.prompts[0].prefillLogits != whole.prompts[0].prefillLogits)
  }

  @Test func whatGoesWrongWhileStreamingIsOneError() throws {
    let plan = try plan(1, Mesh())
    var file = CheckpointFile(for: plan, name: "stream-errors")
    let experts = file.tensors.keys.filter { $0.contains(".experts.") }
    // Whichever expert is asked for first.
    for tensor in experts { file.tensors[tensor]?.values[5] = .nan }
    try file.write()
    defer { unsafe _ = unlink(file.path) }
    let source = try WeightSource(parsing: file.path)
    let needs = try least(plan, source, request(1))
    func session() throws -> PlanSession<CPUDevice> {
      let store = try WeightStore(
        try WeightSource(parsing: file.path), for: plan, memory: needs.least)
      return try PlanSession(plan, weights: store, device: CPUDevice())
    }
    func failure(_ session: PlanSession<CPUDevice>) -> String {
      do {
        _ = try session.generate(request(1))
        return ""
      } catch { return error.description }
    }
    let broken = failure(try session())
    #expect(broken.contains(".experts.") && broken.hasSuffix("holds a NaN or an infinity"))
    for tensor in experts { file.tensors[tensor]?.values[5] = 1 }
    try file.write()
    let running = try session()
    #expect(failure(running) == "")
    // The weights that stay have been read by now.
    #expect(unsafe truncate(file.path, 8192) == 0)
    let error = failure(running)
    #expect(error.hasPrefix("'\(file.path)' was cut off since it was opened: byte"), "\(error)")
  }

  @Test func pagesAreHandedOnWithWhatIsInThem() throws {
    func weight(_ elements: Int) throws -> StreamedWeight {
      let axes = [Axis("experts", 12, split: .expert), Axis("width", elements)]
      let slice = EPPlan.WeightSlice(
        name: "w", stored: [], axes: axes, ranges: [0..<12, 0..<elements],
        experts: Array(0..<12), isUsed: true)
      return try StreamedWeight(
        slice, WeightBox(slice), experts: Array(0..<12), uses: .other, form: nil)
    }
    let weights = try [weight(2048), weight(2048), weight(1024), weight(1000)]
    func place(_ weight: Int, _ slot: Int) -> Memory { weights[weight].place(slot: slot) }
    var numbers: [[Int]: Float] = [:]
    var random = SmallGenerator(4)
    for round in 0..<500 {
      let (from, to) = (
        Int.random(in: 0..<4, using: &random), Int.random(in: 0..<4, using: &random)
      )
      let (slot, other) = (
        Int.random(in: 0..<12, using: &random), Int.random(in: 0..<12, using: &random)
      )
      if numbers[[to, slot]] != nil { continue }
      if numbers[[from, other]] == nil {
        // Slots that share pages are not written here, as their neighbours' pages would come with them.
        if from == 3 { continue }
        let count = weights[from].slotBytes / 4
        try weights[from].commit(slot: other).copy(
          from: Array(repeating: Float(round), count: count))
        numbers[[from, other]] = Float(round)
        continue
      }
      let isTaken = weights[to].take(slot: slot, from: weights[from], slot: other)
      #expect(isTaken == (weights[to].slotBytes == weights[from].slotBytes))
      if isTaken {
        numbers[[to, slot]] = numbers.removeValue(forKey: [from, other])
        // What was taken away can be had anew.
        try weights[from].commit(slot: other)
        #expect(place(from, other).floats.allSatisfy { $0 == 0 })
        weights[from].release(slot: other) { numbers[[from, $0]] != nil }
      }
      for (key, number) in numbers {
        #expect(place(key[0], key[1]).floats.allSatisfy { $0 == number })
      }
    }
    #expect(numbers.count > 10)
  }

  @Test func pagesOfSlotsThatStayAreKept() throws {
    // Slots of less than a page, of a page and a bit, and of odd sizes: neighbours share pages.
    for elements in [3, 100, 1024, 1030, 5000] {
      let axes = [
        Axis("experts", 40, split: .expert), Axis("width", elements),
      ]
      let slice = EPPlan.WeightSlice(
        name: "w", stored: [], axes: axes, ranges: [0..<40, 0..<elements],
        experts: Array(0..<40), isUsed: true)
      let weight = try StreamedWeight(
        slice, WeightBox(slice), experts: Array(0..<40), uses: .other, form: nil)
      let bank = ExpertBank(layer: 0, weights: [weight])
      var random = SmallGenerator(elements)
      for round in 0..<400 {
        let slot = Int.random(in: 0..<40, using: &random)
        if bank.slots[slot].resident == 0 {
          try weight.commit(slot: slot).copy(
            from: Array(repeating: Float(slot + 1), count: elements))
          bank.slots[slot].resident = 1
        } else {
          #expect(bank.evict(slot) == 4 * elements)
        }
        if round % 20 > 0 { continue }
        for slot in bank.slots.indices where bank.slots[slot].resident == 1 {
          let place = weight.storage.memory.elements(from: slot * elements, count: elements)
          let isKept = place.floats.allSatisfy { $0 == Float(slot + 1) }
          #expect(isKept, "slot \(slot) of \(elements) elements")
        }
      }
    }
  }
}
