internal import CEPKernels
internal import EPBackend
internal import EPModel

/// An operation made ready for the reference kernels, by family.
@safe
public struct CPUKernel: @unchecked Sendable {
  enum Form {
    case embed(tableRows: Int, width: Int)
    case linear(LinearForm)
    case contract(ContractForm)
    case unary(epc_function, low: Double, high: Double, width: Int)
    case binary(BinaryForm)
    case affine(factor: Double, offset: Double, width: Int)
    case glu(epc_glu, width: Int)
    case positionScale(floor: Double, scale: Double, width: Int)
    case norm(NormForm)
    case sumSquares(vectors: Int, size: Int, factor: Double)
    case softmax(outer: Int, size: Int, inner: Int)
    case reduce(ReduceForm)
    case slice(BlockForm)
    case concat([BlockForm])
    case reshape(width: Int)
    case rope(RopeForm)
    case attention(epc_attention)
    case latentAttention(epc_latent_attention)
    case index(heads: Int, size: Int, topK: Int, scale: Double)
    case shortConvolution(channels: Int, taps: Int, epc_function)
    case linearAttention(epc_linear_attention)
    case route(RouteForm)
  }

  let form: Form
  /// The rows of what it makes.
  let rows: RowKind

  init(_ op: OpDescription) throws(BackendError) {
    rows = op.results.first.map { RowKind($0) } ?? .none
    switch op.kind {
    case .embed, .linear, .contract, .unary, .binary, .affine, .glu, .positionScale:
      form = try CPUKernel.makeElementwise(op)
    case .norm, .sumSquares, .softmax, .reduce, .slice, .concat, .reshape, .rope:
      form = try CPUKernel.makeAlongAxes(op)
    case .attention, .latentAttention, .index, .shortConvolution, .linearAttention, .route:
      form = try CPUKernel.makeMixing(op)
    case .custom:
      throw op.unsupported(
        "'\(op.attributes.text("name"))' is no operation of epc; give what computes it with "
          + "'--kernels ./lib....so'")
    case .dispatch, .combine, .allReduce, .allGather, .reduceScatter, .scatterRows, .sampleRows,
      .send,
      .receive:
      throw op.unsupported("ranks meet in it, so the executor runs it")
    }
  }

  func run(_ arguments: OpArguments, _ step: StepState) {
    let count = step.count(rows)
    if count == 0 { return }
    switch form {
    case .embed, .linear, .contract, .unary, .binary, .affine, .glu, .positionScale:
      runElementwise(arguments, step, count)
    case .norm, .sumSquares, .softmax, .reduce, .slice, .concat, .reshape, .rope:
      runAlongAxes(arguments, step, count)
    case .attention, .latentAttention, .index, .shortConvolution, .linearAttention, .route:
      runMixing(arguments, step, count)
    }
  }
}

extension OpDescription {
  func unsupported(_ reason: String) -> BackendError {
    .unsupported(operation: kind.rawValue, reason: reason)
  }

  /// The type of the operand in a role that does not repeat.
  func type(_ role: String) -> TensorType? {
    kind.specification.roles.firstIndex { $0.name == role }.flatMap {
      operands.indices.contains($0) ? operands[$0] : nil
    }
  }

  /// The type of the operand in a role that must be there.
  func required(_ role: String) throws(BackendError) -> TensorType {
    guard let type = type(role) else { throw unsupported("it has no '\(role)'") }
    return type
  }

  /// The type of what it makes.
  func result() throws(BackendError) -> TensorType {
    guard let type = results.first else { throw unsupported("it makes nothing") }
    return type
  }
}

extension OpArguments {
  /// The place of an operand that the operation was made ready with.
  func operand(_ index: Int) -> Memory {
    guard let memory = operands[index] else { preconditionFailure("an operand was left out") }
    return memory
  }
}

extension epc_function {
  /// The function of that name, out of `OpKind.activations`.
  init?(named name: String) {
    switch name {
    case "identity": self = EPC_IDENTITY
    case "silu": self = EPC_SILU
    case "gelu": self = EPC_GELU
    case "gelu_tanh": self = EPC_GELU_TANH
    case "relu": self = EPC_RELU
    case "relu2": self = EPC_RELU2
    case "sigmoid": self = EPC_SIGMOID
    case "tanh": self = EPC_TANH
    case "softplus": self = EPC_SOFTPLUS
    case "exp": self = EPC_EXP
    case "negate": self = EPC_NEGATE
    case "square": self = EPC_SQUARE
    case "sqrt": self = EPC_SQRT
    case "clamp": self = EPC_CLAMP
    default: return nil
    }
  }
}

extension [Axis] {
  /// The product of the fixed sizes.
  var elements: Int { reduce(1) { $0 * ($1.size ?? 1) } }

  /// The distance of neighbours along each axis, in elements of a row.
  var strides: [Int] {
    var strides = Array<Int>(repeating: 1, count: count)
    for index in indices.dropLast().reversed() {
      strides[index] = strides[index + 1] * (self[index + 1].size ?? 1)
    }
    return strides
  }

  /// For every element of `self`, in order, the sum of index times the stride given for each axis.
  func offsets(_ strides: [Int]) -> [Int32] {
    var offsets: [Int32] = [0]
    for (axis, stride) in zip(self, strides) {
      offsets = offsets.flatMap { base in
        (0..<(axis.size ?? 1)).map { base + Int32($0 * stride) }
      }
    }
    return offsets
  }

  /// The stride within a row of `self` of each of the axes, 0 for those it lacks.
  func strides(of axes: [Axis]) -> [Int] {
    let own = filter { !$0.isRows }
    let ownStrides = own.strides
    return axes.map { axis in own.firstIndex { $0.name == axis.name }.map { ownStrides[$0] } ?? 0 }
  }
}
