internal import CEPBackend
internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

// Programs as the C interface describes them.
extension CData {
  /// The description of a rank's program; it lives as long as this memory.
  func program(_ placed: PlacedProgram) -> UnsafePointer<epc_program> {
    let (program, pool) = (placed.program, placed.pool)
    var made = unsafe epc_program()
    unsafe made.struct_size = MemoryLayout<epc_program>.size
    unsafe made.pool = program.pool
    unsafe made.rank = program.rank
    unsafe made.pipeline_ranks = pool.mesh.pp
    unsafe made.data_ranks = pool.mesh.dp
    unsafe made.tensor_ranks = pool.mesh.tp
    unsafe made.expert_ranks = pool.mesh.ep
    unsafe made.stage = program.coordinates.stage
    unsafe made.data = program.coordinates.data
    unsafe made.tensor = program.coordinates.tensor
    unsafe made.expert = program.coordinates.expert
    let groups = program.groups.sorted { $0.key.rawValue < $1.key.rawValue }
    unsafe made.group_count = groups.count
    unsafe made.groups = list(groups) { group in
      unsafe epc_group(
        struct_size: MemoryLayout<epc_group>.size, extension: nil,
        name: text(group.key.rawValue), member_count: group.value.count,
        members: array(group.value))
    }
    unsafe made.sequences = pool.load.sequences
    unsafe made.tokens = pool.load.tokens
    unsafe made.samples = pool.load.samples
    unsafe made.micro_batches = placed.arenas.count
    unsafe made.batch_tokens = pool.batchTokens
    unsafe made.arena_bytes = placed.arenas[0].bytes
    unsafe made.function_count = program.functions.count
    unsafe made.functions = list(Array(program.functions.enumerated())) { index, function in
      unsafe self.function(function, offsets: placed.offsets[index], sizes: placed.sizes[index])
    }
    unsafe made.call_count = program.calls.count
    unsafe made.calls = list(Array(zip(program.calls, placed.weights))) { call, weights in
      unsafe self.call(call, weights: weights)
    }
    unsafe made.phase_count = placed.phases.count
    unsafe made.phases = list(placed.phases) { issues in
      // A function without operations has a turn and nothing to run in it.
      let issues = issues.filter { issue in
        let function = program.functions[program.calls[issue.call].function]
        return issue.operation < function.function.operations.count
      }
      return unsafe epc_phase(
        struct_size: MemoryLayout<epc_phase>.size, extension: nil, issue_count: issues.count,
        issues: list(issues) { issue in
          unsafe epc_program_issue(
            struct_size: MemoryLayout<epc_program_issue>.size, extension: nil, batch: issue.batch,
            call: issue.call, operation: issue.operation)
        })
    }
    return unsafe make(made)
  }

  private func function(
    _ sharded: ShardedFunction, offsets: [Int], sizes: [Int]
  ) -> epc_function {
    let function = sharded.function
    var made = unsafe epc_function()
    unsafe made.struct_size = MemoryLayout<epc_function>.size
    unsafe made.name = text(function.name)
    unsafe made.value_count = function.values.count
    unsafe made.values = pointers(function.values.map { unsafe Optional(type($0)) })
    unsafe made.offsets = array(offsets)
    unsafe made.sizes = array(sizes)
    unsafe made.weight_count = function.weights.count
    unsafe made.weights = pointers(function.weights.map { unsafe Optional(type($0.type)) })
    unsafe made.cache_count = function.caches.count
    unsafe made.caches = list(function.caches) { cache in
      let widths = cache.parts.map { $0.reduce(1) { $0 * ($1.size ?? 1) } }
      return unsafe epc_cache(
        struct_size: MemoryLayout<epc_cache>.size, extension: nil, kind: text(cache.kind.rawValue),
        part_count: widths.count, part_widths: array(widths))
    }
    unsafe made.parameter_count = function.parameters.count
    unsafe made.parameters = ports(function.parameters)
    unsafe made.result_count = function.results.count
    unsafe made.results = ports(function.results)
    unsafe made.operation_count = function.operations.count
    unsafe made.operations = list(Array(function.operations.indices)) { index in
      unsafe planned(index, in: sharded)
    }
    unsafe made.routed_capacity = sharded.routedCapacity
    unsafe made.schedule = sharded.schedule.map { unsafe make(schedule($0)) }
    return unsafe made
  }

  private func ports(
    _ ports: [Function.Port]
  ) -> UnsafePointer<UnsafePointer<epc_port>?>? {
    unsafe list(ports) { port in
      unsafe epc_port(
        struct_size: MemoryLayout<epc_port>.size, extension: nil, name: text(port.name),
        value: port.value)
    }
  }

  private func planned(_ index: Int, in sharded: ShardedFunction) -> epc_planned_operation {
    let operation = sharded.function.operations[index]
    let references = operation.references.map { reference -> (kind: Int, index: Int) in
      switch reference {
      case .value(let value)?: return (EPC_REFERENCE_VALUE, value)
      case .weight(let weight)?: return (EPC_REFERENCE_WEIGHT, weight)
      case .cache(let cache)?: return (EPC_REFERENCE_CACHE, cache)
      case nil: return (EPC_REFERENCE_NONE, 0)
      }
    }
    let waits = sharded.waits[index]
    return unsafe epc_planned_operation(
      struct_size: MemoryLayout<epc_planned_operation>.size, extension: nil,
      operation: self.operation(OpDescription(operation, in: sharded.function)),
      reference_kinds: array(references.map { Int64($0.kind) }),
      references: array(references.map(\.index)), results: array(operation.results),
      stream: Int64(sharded.streams[index].rawValue), wait_count: waits.count,
      waits: array(waits), is_exchange: operation.kind.isExecutors ? 1 : 0)
  }

  private func schedule(_ schedule: LayerSchedule) -> epc_schedule {
    unsafe epc_schedule(
      struct_size: MemoryLayout<epc_schedule>.size, extension: nil,
      job_count: schedule.jobs.count, operations: array(schedule.jobs.map(\.operation)),
      streams: array(schedule.jobs.map { Int64($0.stream.rawValue) }),
      durations: array(schedule.jobs.map { Int64($0.duration) }),
      batch_count: schedule.microBatches, starts: array(schedule.starts.joined().map(Int64.init)),
      period: Int64(schedule.period), lower_bound: Int64(schedule.lowerBound))
  }

  private func call(_ call: RankProgram.Call, weights: [Memory?]) -> epc_call {
    unsafe epc_call(
      struct_size: MemoryLayout<epc_call>.size, extension: nil, function: call.function,
      layer: Int64(call.layer),
      weights: list(Array(zip(call.weights, weights))) { slice, memory in
        unsafe epc_weight(
          struct_size: MemoryLayout<epc_weight>.size, extension: nil, name: text(slice.name),
          data: memory.map { unsafe UnsafePointer($0.reals) }, bytes: memory?.bytes ?? 0,
          axis_count: slice.ranges.count, firsts: array(slice.ranges.map(\.lowerBound)),
          expert_count: slice.experts?.count ?? 0,
          experts: array((slice.experts ?? []).map(Int64.init)))
      },
      placement: call.placement.map { placement in
        unsafe make(
          epc_placement(
            struct_size: MemoryLayout<epc_placement>.size, extension: nil,
            experts: placement.experts, slots_per_rank: placement.slotsPerRank,
            slot_count: placement.slots.count, slots: array(placement.slots.map(Int64.init)),
            splits_batches: placement.sharing == .batch ? 1 : 0))
      })
  }

  /// The description of a step; it lives as long as this memory.
  func step(
    phase: Int, states: [StepState], arenas: [Memory]
  ) -> UnsafePointer<epc_step> {
    let batches = unsafe list(Array(zip(states, arenas))) { state, arena in
      unsafe epc_batch(
        struct_size: MemoryLayout<epc_batch>.size, extension: nil, tokens: state.tokens,
        own_first: state.own.lowerBound, own_count: state.own.count,
        sampled_count: state.sampled.count, sampled: array(state.sampled), arena: arena.base)
    }
    return unsafe make(
      epc_step(
        struct_size: MemoryLayout<epc_step>.size, extension: nil, phase: phase,
        batch_count: states.count, batches: batches))
  }

  /// A list of structs, as an array of pointers to them.
  private func list<Item, T: BitwiseCopyable>(
    _ items: [Item], _ make: (Item) -> T
  ) -> UnsafePointer<UnsafePointer<T>?>? {
    unsafe pointers(items.map { unsafe Optional(self.make(make($0))) })
  }
}
