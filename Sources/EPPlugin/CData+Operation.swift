internal import CEPBackend
internal import EPBackend
internal import EPModel

// Operations as the C interface describes them.
extension CData {
  /// The description of an operation; it lives as long as this memory.
  func operation(_ op: OpDescription) -> UnsafePointer<epc_operation> {
    let operands = unsafe pointers(self.operands(op).map { unsafe Optional(make($0)) })
    let results = unsafe pointers(op.results.map { unsafe Optional(type($0)) })
    let attributes = unsafe pointers(
      op.attributes.entries.map { unsafe Optional(make(attribute($0))) })
    return unsafe make(
      epc_operation(
        struct_size: MemoryLayout<epc_operation>.size, extension: nil, name: text(op.kind.rawValue),
        operand_count: op.operands.count, operands: operands, result_count: op.results.count,
        results: results, attribute_count: op.attributes.entries.count, attributes: attributes,
        expert_slots: op.slots))
  }

  private func operands(_ op: OpDescription) -> [epc_operand] {
    let roles = op.kind.specification.roles
    var next = 0
    return unsafe roles.flatMap { role -> [epc_operand] in
      var count = 1
      if case .repeated = role.presence { count = op.operands.count - (roles.count - 1) }
      return unsafe (0..<count).map { _ in
        let operand = op.operands[next]
        next += 1
        var kind = operand == nil ? EPC_OPERAND_ABSENT : EPC_OPERAND_TENSOR
        if case .cache = role.accepts { kind = EPC_OPERAND_CACHE }
        return unsafe epc_operand(
          struct_size: MemoryLayout<epc_operand>.size, extension: nil, role: text(role.name),
          kind: Int64(kind), type: operand.map { unsafe type($0) })
      }
    }
  }

  func type(_ type: TensorType) -> UnsafePointer<epc_type> {
    let fixed = type.axes.filter { !$0.isRows }
    let axes = unsafe fixed.map { axis in
      unsafe Optional(
        make(
          epc_axis(
            struct_size: MemoryLayout<epc_axis>.size, extension: nil, name: text(axis.name),
            size: axis.size ?? 1)))
    }
    let rows: Int
    switch RowKind(type) {
    case .none: rows = EPC_ROWS_NONE
    case .tokens: rows = EPC_ROWS_TOKENS
    case .own: rows = EPC_ROWS_OWN
    case .sampled: rows = EPC_ROWS_SAMPLED
    case .routed: rows = EPC_ROWS_ROUTED
    }
    return unsafe make(
      epc_type(
        struct_size: MemoryLayout<epc_type>.size, extension: nil,
        element: Int64(type.element == .real ? EPC_ELEMENT_REAL : EPC_ELEMENT_INDEX),
        rows: Int64(rows), axis_count: fixed.count, axes: pointers(axes),
        row_elements: type.elementsPerRow))
  }

  private func attribute(_ entry: Attributes.Entry) -> epc_attribute {
    var made = unsafe epc_attribute()
    unsafe made.struct_size = MemoryLayout<epc_attribute>.size
    unsafe made.name = text(entry.name)
    switch entry.value {
    case .flag(let value):
      unsafe made.form = Int64(EPC_FORM_FLAG)
      unsafe made.integer = value ? 1 : 0
    case .int(let value):
      unsafe made.form = Int64(EPC_FORM_INTEGER)
      unsafe made.integer = Int64(value)
      unsafe made.real = Double(value)
    case .real(let value):
      unsafe made.form = Int64(EPC_FORM_REAL)
      unsafe made.real = value
    case .text(let value):
      unsafe made.form = Int64(EPC_FORM_TEXT)
      unsafe made.text = text(value)
    case .list(let values):
      unsafe made.count = values.count
      let texts = values.compactMap { value -> String? in
        if case .text(let text) = value { text } else { nil }
      }
      if texts.count == values.count && !texts.isEmpty {
        unsafe made.form = Int64(EPC_FORM_TEXTS)
        unsafe made.texts = pointers(texts.map { unsafe Optional(text($0)) })
      } else {
        unsafe made.form = Int64(EPC_FORM_INTEGERS)
        let integers = values.map { value -> Int64 in
          if case .int(let integer) = value { Int64(integer) } else { 0 }
        }
        unsafe made.integers = array(integers)
      }
    }
    return unsafe made
  }
}
