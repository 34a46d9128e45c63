internal import CEPKernels
internal import EPBackend
internal import EPModel

// Tables, contractions and element-wise operations.
extension CPUKernel {
  struct LinearForm {
    var batch: Int
    var out: Int
    var contracted: Int
    /// Where in a row of x each (batch, contracted) element is, unless in order.
    var index: Storage?
    /// Slots for experts, or 0.
    var slots: Int
  }

  struct ContractForm {
    var aWidth: Int
    var bWidth: Int
    var out: (a: Storage, b: Storage, count: Int)
    var contracted: (a: Storage, b: Storage, count: Int)
  }

  struct BinaryForm {
    var join: epc_join
    /// Whether `b` has more axes than `a`.
    var isSwapped: Bool
    var width: Int
    /// Elements by which the narrow operand advances a row.
    var narrowWidth: Int
    var index: Storage
  }

  static func makeElementwise(_ op: OpDescription) throws(BackendError) -> Form {
    let result = try op.result()
    let width = result.elementsPerRow
    let attributes = op.attributes
    switch op.kind {
    case .embed:
      let table = try op.required("table")
      return .embed(
        tableRows: table.axes.first?.size ?? 0, width: Array(table.axes.dropFirst()).elements)
    case .linear: return .linear(try makeLinear(op))
    case .contract: return .contract(try makeContract(op))
    case .unary:
      return .unary(
        try activation(op, "function"), low: attributes.real("low", default: -.infinity),
        high: attributes.real("high", default: .infinity), width: width)
    case .binary: return .binary(try makeBinary(op))
    case .affine:
      return .affine(
        factor: attributes.real("factor", default: 1), offset: attributes.real("offset"),
        width: width)
    case .glu:
      return .glu(
        epc_glu(
          activation: try activation(op, "activation"), has_limit: attributes["limit"] != nil,
          limit: attributes.real("limit"), has_slope: attributes["slope"] != nil,
          slope: attributes.real("slope"), up_offset: attributes.real("up_offset")), width: width)
    case .positionScale:
      return .positionScale(
        floor: attributes.real("floor"), scale: attributes.real("scale"), width: width)
    default: throw op.unsupported("it is not element-wise")
    }
  }

  static func activation(
    _ op: OpDescription, _ attribute: String
  ) throws(BackendError) -> epc_function {
    let name = op.attributes.text(attribute)
    guard let function = epc_function(named: name) else {
      throw op.unsupported("there is no function '\(name)'")
    }
    return function
  }

  private static func makeLinear(_ op: OpDescription) throws(BackendError) -> LinearForm {
    let x = try op.required("x")
    let weight = Array((try op.required("weight")).axes.dropFirst(op.slots > 0 ? 1 : 0))
    let batch = op.attributes.texts("batch").count
    let contract = op.attributes.texts("contract").count
    let order = Array(weight.prefix(batch) + weight.suffix(contract))
    let offsets = order.offsets(x.axes.strides(of: order))
    let isInOrder = offsets.enumerated().allSatisfy { $0.offset == Int($0.element) }
    return LinearForm(
      batch: Array(weight.prefix(batch)).elements,
      out: Array(weight.dropFirst(batch).dropLast(contract)).elements,
      contracted: Array(weight.suffix(contract)).elements,
      index: isInOrder ? nil : Storage(offsets), slots: op.slots)
  }

  private static func makeContract(_ op: OpDescription) throws(BackendError) -> ContractForm {
    let a = try op.required("a")
    let b = try op.required("b")
    let names = op.attributes.texts("contract")
    let contracted = a.axes.filter { names.contains($0.name) }
    let out = try op.result().axes.filter { !$0.isRows }
    func table(_ axes: [Axis], _ other: TensorType) -> Storage {
      Storage(axes.offsets(other.axes.strides(of: axes)))
    }
    return ContractForm(
      aWidth: a.elementsPerRow, bWidth: b.elementsPerRow,
      out: (table(out, a), table(out, b), out.elements),
      contracted: (table(contracted, a), table(contracted, b), contracted.elements))
  }

  private static func makeBinary(_ op: OpDescription) throws(BackendError) -> BinaryForm {
    let joins: [String: epc_join] = [
      "add": EPC_ADD, "subtract": EPC_SUBTRACT, "multiply": EPC_MULTIPLY, "divide": EPC_DIVIDE,
      "maximum": EPC_MAXIMUM, "minimum": EPC_MINIMUM,
    ]
    let name = op.attributes.text("function")
    guard let join = joins[name] else { throw op.unsupported("there is no function '\(name)'") }
    let a = try op.required("a")
    let b = try op.required("b")
    let isSwapped = a.axes.count < b.axes.count
    let (wide, narrow) = isSwapped ? (b, a) : (a, b)
    let axes = wide.axes.filter { !$0.isRows }
    return BinaryForm(
      join: join, isSwapped: isSwapped, width: axes.elements,
      narrowWidth: narrow.axes.contains { $0.isRows } ? narrow.elementsPerRow : 0,
      index: Storage(axes.offsets(narrow.axes.strides(of: axes))))
  }

  func runElementwise(_ arguments: OpArguments, _ step: StepState, _ rows: Int) {
    let y = arguments.results[0]
    let x = arguments.operand(0)
    switch form {
    case .embed(let tableRows, let width):
      unsafe epc_ref_embed(
        x.indices, rows, arguments.operand(1).reals, arguments.firstRow, tableRows, width, y.reals)
    case .linear(let form):
      unsafe epc_ref_linear(
        x.reals, form.index?.memory.indices, arguments.operand(1).reals,
        arguments.operands[2]?.reals, rows, form.batch, form.out, form.contracted,
        form.slots > 0 ? step.slotEnds.memory.indices : nil, form.slots, y.reals)
    case .contract(let form):
      unsafe epc_ref_contract(
        x.reals, form.aWidth, arguments.operand(1).reals, form.bWidth, form.out.a.memory.indices,
        form.out.b.memory.indices, form.out.count, form.contracted.a.memory.indices,
        form.contracted.b.memory.indices, form.contracted.count, rows, y.reals)
    case .unary(let function, let low, let high, let width):
      unsafe epc_ref_unary(function, low, high, x.reals, rows * width, y.reals)
    case .binary(let form):
      let b = arguments.operand(1)
      let (wide, narrow) = form.isSwapped ? (b, x) : (x, b)
      unsafe epc_ref_binary(
        form.join, form.isSwapped, wide.reals, form.width, narrow.reals, form.narrowWidth,
        form.index.memory.indices, rows, y.reals)
    case .affine(let factor, let offset, let width):
      unsafe epc_ref_affine(factor, offset, x.reals, rows * width, y.reals)
    case .glu(var glu, let width):
      unsafe epc_ref_glu(&glu, x.reals, arguments.operand(1).reals, rows * width, y.reals)
    case .positionScale(let floor, let scale, let width):
      unsafe epc_ref_position_scale(
        floor, scale, x.reals, width, step.positions(of: self.rows).indices, rows, y.reals)
    default: preconditionFailure("not an element-wise operation")
    }
  }
}
