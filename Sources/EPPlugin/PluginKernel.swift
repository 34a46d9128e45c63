internal import CEPBackend
internal import EPBackend
internal import EPModel

/// An operation that a backend in a shared library has made ready.
@safe
public final class PluginKernel: @unchecked Sendable {
  private let instance: PluginInstance
  /// The description, which the backend may keep reading.
  private let description = CData()
  private let pointer: OpaquePointer?
  private let name: String
  private let rows: RowKind
  private let slots: Int

  init(_ op: OpDescription, _ instance: PluginInstance) throws(BackendError) {
    self.instance = instance
    name = op.kind.rawValue
    rows = op.results.first.map { RowKind($0) } ?? .none
    slots = op.slots
    let table = unsafe instance.library.table
    guard let prepare = unsafe table.pointee.prepare else {
      throw .unsupported(
        operation: name, reason: "the backend has no kernels; it runs whole programs")
    }
    let operation = unsafe description.operation(op)
    var made: OpaquePointer?
    let error = instance.watched("prepare of '\(name)'") {
      unsafe BackendLibrary.take(unsafe prepare(instance.pointer, operation, &made))
    }
    if let error {
      if error.code == EPC_ERROR_UNSUPPORTED {
        throw .unsupported(operation: name, reason: error.message)
      }
      throw .failed(
        backend: instance.library.name, reason: "prepare of '\(name)': \(error.message)")
    }
    unsafe pointer = unsafe made
  }

  deinit {
    guard let release = unsafe instance.library.table.pointee.release else { return }
    instance.watched("release of '\(name)'") { unsafe release(instance.pointer, pointer) }
  }

  func run(_ arguments: OpArguments, _ step: StepState) throws(BackendError) {
    let count = step.count(rows)
    if count == 0 { return }
    guard let call = unsafe instance.library.table.pointee.run_operation else { return }
    let data = CData()
    var run = unsafe data.run(arguments, step, rows: rows, count: count, slots: slots)
    let error = instance.watched("'\(name)'") {
      unsafe BackendLibrary.take(unsafe call(instance.pointer, pointer, &run))
    }
    withExtendedLifetime(data) {}
    if let error {
      if error.code == EPC_ERROR_CANCELLED { throw .cancelled }
      throw .failed(backend: instance.library.name, reason: "'\(name)': \(error.message)")
    }
  }
}

extension CData {
  /// Where an operation finds everything in one step.
  func run(
    _ arguments: OpArguments, _ step: StepState, rows: RowKind, count: Int, slots: Int
  ) -> epc_run {
    let operands = unsafe arguments.operands.map { place in
      unsafe place.map { unsafe UnsafeRawPointer($0.base) }
    }
    let results = unsafe arguments.results.map { place in
      unsafe Optional(place.base)
    }
    let spans = unsafe step.spans.map { span in
      unsafe Optional(make(self.span(span, cache: arguments.cache)))
    }
    var run = unsafe epc_run()
    unsafe run.struct_size = MemoryLayout<epc_run>.size
    unsafe run.rows = count
    unsafe run.operand_count = operands.count
    unsafe run.operands = array(operands)
    unsafe run.operand_bytes = array(arguments.operands.map { $0?.bytes ?? 0 })
    unsafe run.result_count = results.count
    unsafe run.results = array(results)
    unsafe run.result_bytes = array(arguments.results.map(\.bytes))
    unsafe run.first_table_row = arguments.firstRow
    unsafe run.tokens = step.tokens
    unsafe run.own_first = step.own.lowerBound
    unsafe run.own_count = step.own.count
    if rows == .tokens || rows == .own {
      unsafe run.positions = UnsafePointer(step.positions(of: rows).indices)
    }
    unsafe run.slot_count = slots
    unsafe run.slot_ends = slots > 0 ? UnsafePointer(step.slotEnds.memory.indices) : nil
    unsafe run.span_count = spans.count
    unsafe run.spans = pointers(spans)
    return unsafe run
  }

  private func span(_ span: SequenceSpan, cache: Int) -> epc_span {
    var made = unsafe epc_span()
    unsafe made.struct_size = MemoryLayout<epc_span>.size
    unsafe made.first_row = span.rows.lowerBound
    unsafe made.rows = span.rows.count
    unsafe made.first_position = span.firstPosition
    guard cache >= 0 else { return unsafe made }
    let entry = span.cache.entries[cache]
    unsafe made.cache_part_count = entry.parts.count
    unsafe made.cache_parts = array(entry.parts.map { unsafe Optional($0.memory.reals) })
    unsafe made.cache_widths = array(entry.widths)
    return unsafe made
  }
}
