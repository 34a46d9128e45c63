internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// What a request takes of memory, beside the routed experts that are streamed; in bytes.
public struct MemoryNeeds: Hashable, Sendable {
  /// Weights that stay: attention, shared experts, routers, tables.
  public var weights = 0
  /// Keys, values, latents and states of the sequences that run at once.
  public var caches = 0
  /// Values of a step, and what ranks send each other.
  public var values = 0
  /// The largest expert as it is read, twice: one is put into place while the next arrives.
  public var staging = 0
  /// The experts of one token in one layer, where they take most.
  public var experts = 0
  /// The program itself.
  public var program = 0

  /// Without experts.
  var fixed: Int { weights + caches + values + staging + program }

  /// The least memory that the request can run in.
  public var least: Int { fixed + experts }
}

extension PlanSession {
  /// What a request takes of memory.
  func memoryNeeds(_ request: GenerationRequest) throws(WeightError) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.weights = store.bytes
    needs.program = store.program
    let lengths = request.prompts.map { $0.count + request.count + request.speculate + 1 }
      .sorted(by: >)
    for runner in pools {
      let load = runner.pool.load
      // No step has more rows than there are tokens to read and to make.
      let rows = min(load.tokens, lengths.reduce(0, +))
      for rank in runner.ranks {
        // An arena in large pages is in memory as soon as every value has some rows.
        let arena = rank.prepared.arenaBytes
        let used = arena >= 4 << 20 ? arena : arena * rows / max(load.tokens, 1)
        needs.values +=
          rank.walks * used + 2 * rank.exchangeBytes(rows: rows * runner.pool.mesh.dp)
        let sequences = lengths.prefix(load.sequences)
        needs.caches += rank.cacheBytes(tokens: sequences.reduce(0, +), sequences: sequences.count)
      }
    }
    guard let experts = store.experts else { return needs }
    needs.staging = 2 * (try experts.largestRead()) + (try experts.largestScratch())
    let topK = plan.pools.flatMap(\.functions).flatMap { function in
      function.function.operations.filter { $0.kind == .dispatch }.map { operation in
        operation.operand("indices").flatMap { function.function.type(of: $0) }?.elementsPerRow ?? 1
      }
    }.max()
    for bank in experts.banks {
      needs.experts = max(needs.experts, bank.expertBytes * min(topK ?? 1, bank.experts.count))
    }
    return needs
  }

  /// Gives routed experts what a request leaves of the memory, and reads the weights that stay.
  func shareMemory(_ request: GenerationRequest) throws(ExecutionError) {
    guard let experts = store.experts, let memory = store.memory else { return }
    let needs: MemoryNeeds
    do { needs = try memoryNeeds(request) } catch { throw .weights(error) }
    if needs.least > memory { throw .memory(needs, given: memory) }
    // Reads of several experts at once keep the disk busy; they are not worth an eighth of the experts.
    let rest = memory - needs.fixed
    let reads = min(4 * needs.staging, (rest - needs.experts) / 8)
    experts.stagingCapacity = needs.staging + reads
    experts.capacity = rest - reads
    do { try store.read() } catch { throw .weights(error) }
    experts.noteResidentReads()
  }
}

extension RankExecutor {
  /// Bytes of rows that dispatch and combine send and receive, where a step has so many tokens in all
  /// data groups.
  func exchangeBytes(rows: Int) -> Int {
    var most = 0
    for variant in variants {
      let function = variant.function.function
      for operation in function.operations where operation.kind == .dispatch {
        let topK =
          operation.operand("indices").flatMap { function.type(of: $0) }?.elementsPerRow ?? 1
        let width = operation.results.first.map { function.values[$0].elementsPerRow } ?? 0
        most = max(most, 4 * width * min(rows * topK, variant.function.routedCapacity))
      }
    }
    return most
  }

  /// Bytes that the rank keeps of sequences with so many tokens in all.
  func cacheBytes(tokens: Int, sequences: Int) -> Int {
    cacheDeclarations.reduce(0) { sum, declaration in
      let elements = declaration.parts.reduce(0) { $0 + $1.reduce(1) { $0 * ($1.size ?? 1) } }
      return sum + 4 * elements * (declaration.kind.growsWithContext ? tokens : sequences)
    }
  }
}
