internal import CEPKernels
internal import EPBackend
internal import EPModel

// Operations along axes.
extension CPUKernel {
  struct NormForm {
    var form: epc_norm_form
    var vectors: Int
    var size: Int
    var epsilon: Double
    var weightOffset: Double
    /// Elements that given sums of squares run over.
    var count: Int
  }

  struct ReduceForm {
    var reduction: epc_reduction
    var width: Int
    var out: (Storage, count: Int)
    var reduced: (Storage, count: Int)
  }

  /// Blocks of `count` elements, one from every `stride` of the operand to every `resultStride` of
  /// the result; `outer` of them a row.
  struct BlockForm {
    var start: Int
    var stride: Int
    var resultStart: Int
    var resultStride: Int
    var count: Int
    var outer: Int
  }

  static func makeAlongAxes(_ op: OpDescription) throws(BackendError) -> Form {
    let attributes = op.attributes
    let x = try op.required("x")
    switch op.kind {
    case .norm:
      let forms = ["rms": EPC_NORM_RMS, "layer": EPC_NORM_LAYER, "l2": EPC_NORM_L2]
      guard let form = forms[attributes.text("form")] else {
        throw op.unsupported("there is no norm '\(attributes.text("form"))'")
      }
      let size = Array(x.axes.suffix(attributes.texts("axes").count)).elements
      return .norm(
        NormForm(
          form: form, vectors: x.elementsPerRow / size, size: size,
          epsilon: attributes.real("epsilon"), weightOffset: attributes.real("weight_offset"),
          count: attributes.int("count", default: size)))
    case .sumSquares:
      let size = Array(x.axes.suffix(attributes.texts("axes").count)).elements
      return .sumSquares(
        vectors: x.elementsPerRow / size, size: size,
        factor: attributes.real("factor", default: 1))
    case .softmax:
      let (outer, size, inner) = try split(x, attributes.text("axis"), op)
      return .softmax(outer: outer, size: size, inner: inner)
    case .reduce: return .reduce(try makeReduce(op, x))
    case .slice:
      let (outer, size, inner) = try split(x, attributes.text("axis"), op)
      let count = attributes.int("count")
      return .slice(
        BlockForm(
          start: attributes.int("start") * inner, stride: size * inner, resultStart: 0,
          resultStride: count * inner, count: count * inner, outer: outer))
    case .concat: return .concat(try makeConcat(op))
    case .reshape: return .reshape(width: x.elementsPerRow)
    case .rope: return .rope(try RopeForm(op, x))
    default: throw op.unsupported("it does not run along axes")
    }
  }

  /// The elements of a row before, along and after an axis.
  private static func split(
    _ type: TensorType, _ name: String, _ op: OpDescription
  ) throws(BackendError) -> (outer: Int, size: Int, inner: Int) {
    guard let position = type.position(of: name) else {
      throw op.unsupported("'\(name)' is no axis of \(type)")
    }
    return (
      Array(type.axes.prefix(position)).elements, type.axes[position].size ?? 1,
      Array(type.axes.dropFirst(position + 1)).elements
    )
  }

  private static func makeReduce(
    _ op: OpDescription, _ x: TensorType
  ) throws(BackendError) -> ReduceForm {
    let names = op.attributes.texts("axes")
    let reductions = ["sum": EPC_REDUCE_SUM, "mean": EPC_REDUCE_MEAN, "max": EPC_REDUCE_MAX]
    guard let reduction = reductions[op.attributes.text("function")] else {
      throw op.unsupported("there is no reduction '\(op.attributes.text("function"))'")
    }
    let kept = x.axes.filter { !$0.isRows && !names.contains($0.name) }
    let reduced = x.axes.filter { names.contains($0.name) }
    return ReduceForm(
      reduction: reduction, width: x.elementsPerRow,
      out: (Storage(kept.offsets(x.axes.strides(of: kept))), kept.elements),
      reduced: (Storage(reduced.offsets(x.axes.strides(of: reduced))), reduced.elements))
  }

  private static func makeConcat(_ op: OpDescription) throws(BackendError) -> [BlockForm] {
    let name = op.attributes.text("axis")
    let (outer, whole, inner) = try split(try op.result(), name, op)
    var start = 0
    var forms: [BlockForm] = []
    for case let type? in op.operands {
      let size = type.axis(named: name)?.size ?? 1
      forms.append(
        BlockForm(
          start: 0, stride: size * inner, resultStart: start * inner,
          resultStride: whole * inner, count: size * inner, outer: outer))
      start += size
    }
    return forms
  }

  func runAlongAxes(_ arguments: OpArguments, _ step: StepState, _ rows: Int) {
    let y = arguments.results[0]
    let x = arguments.operand(0)
    switch form {
    case .norm(let form):
      unsafe epc_ref_norm(
        form.form, x.reals, rows * form.vectors, form.size, form.epsilon,
        arguments.operands[1]?.reals, form.weightOffset, arguments.operands[2]?.reals,
        arguments.operands[3]?.reals, form.count, y.reals)
    case .sumSquares(let vectors, let size, let factor):
      unsafe epc_ref_sum_squares(x.reals, rows * vectors, size, factor, y.reals)
    case .softmax(let outer, let size, let inner):
      unsafe epc_ref_softmax(x.reals, rows * outer, size, inner, y.reals)
    case .reduce(let form):
      unsafe epc_ref_reduce(
        form.reduction, x.reals, form.width, form.out.0.memory.indices, form.out.count,
        form.reduced.0.memory.indices, form.reduced.count, rows, y.reals)
    case .slice(let form): copy(form, x, y, rows)
    case .concat(let forms):
      for (index, form) in forms.enumerated() { copy(form, arguments.operand(index), y, rows) }
    case .reshape(let width):
      if unsafe x.base != y.base { y.copy(from: x.elements(from: 0, count: rows * width)) }
    case .rope(let form):
      unsafe epc_ref_rope(
        x.reals, rows, form.vectors, form.size, form.rotated, form.isInterleaved,
        form.frequencies.memory.doubles, form.factor, step.positions(of: self.rows).indices,
        y.reals)
    default: preconditionFailure("not an operation along axes")
    }
  }

  private func copy(_ form: BlockForm, _ x: Memory, _ y: Memory, _ rows: Int) {
    unsafe epc_ref_copy_blocks(
      x.reals + form.start, form.stride, y.reals + form.resultStart, form.resultStride,
      form.count, rows * form.outer)
  }
}
