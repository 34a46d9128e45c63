extension Operation {
  /// The types of the values the operation defines, from the types of what it reads.
  ///
  /// This is the one shape rule of an operation: the tracer uses it to type a model file, every
  /// verifier to check a program. Sizes are those of one device, so it holds after sharding too.
  public func inferResults(in function: Function) throws(OpError) -> [TensorType] {
    let read = OperandTypes(operation: self, function: function)
    switch kind {
    case .embed: return [try inferEmbed(read)]
    case .linear: return [try inferLinear(read)]
    case .contract: return [try inferContract(read)]
    case .unary, .affine, .positionScale: return [try read.real(kind == .positionScale, "x")]
    case .binary: return [try inferBinary(read)]
    case .custom: return [try inferCustom(read)]
    case .glu: return [try inferGLU(read)]
    case .norm: return [try inferNorm(read)]
    case .sumSquares: return [try inferSumSquares(read)]
    case .softmax: return [try inferSoftmax(read)]
    case .reduce: return [try inferReduce(read)]
    case .slice: return [try inferSlice(read)]
    case .concat: return [try inferConcat(read)]
    case .reshape: return [try inferReshape(read)]
    case .rope: return [try inferRope(read)]
    case .attention: return [try inferAttention(read)]
    case .latentAttention: return [try inferLatentAttention(read)]
    case .index: return [try inferIndex(read)]
    case .shortConvolution: return [try inferShortConvolution(read)]
    case .linearAttention: return [try inferLinearAttention(read)]
    case .route: return try inferRoute(read)
    case .dispatch: return [try inferDispatch(read)]
    case .combine: return [try inferCombine(read)]
    case .allReduce: return [try read.rows("x")]
    case .scatterRows: return [try inferScatterRows(read)]
    case .sampleRows: return [try inferSampleRows(read)]
    case .allGather: return [try inferGather(read, gathers: true)]
    case .reduceScatter: return [try inferGather(read, gathers: false)]
    case .send:
      _ = try read.rows("x")
      return []
    case .receive: return [try inferReceive()]
    }
  }
}

/// Typed access to what an operation reads.
struct OperandTypes {
  var operation: Operation
  var function: Function

  /// The type of the operand in a role, or nil where it is absent.
  func optional(_ role: String) -> TensorType? {
    operation.operand(role).flatMap { function.type(of: $0) }
  }

  /// The type of the operand in a role.
  func type(_ role: String) throws(OpError) -> TensorType {
    guard let type = optional(role) else {
      throw OpError("'\(operation.kind.rawValue)' reads a '\(role)' that is not there")
    }
    return type
  }

  /// The type of a real value or weight.
  func real(_ needsRows: Bool, _ role: String) throws(OpError) -> TensorType {
    let type = try type(role)
    try require(type.element == .real, "'\(role)' of '\(operation.kind.rawValue)' is an index")
    return needsRows ? try rows(role) : type
  }

  /// The type of a value whose first axis, and no other, is a row axis.
  func rows(_ role: String) throws(OpError) -> TensorType {
    let type = try type(role)
    try require(
      type.rows != nil && type.axes.dropFirst().allSatisfy { !$0.isRows },
      "'\(role)' of '\(operation.kind.rawValue)' is \(type), not rows of something")
    return type
  }

  /// The type of a real value with rows and exactly `count` further axes.
  func rows(_ role: String, axes count: Int) throws(OpError) -> TensorType {
    let type = try rows(role)
    try require(
      type.element == .real && type.axes.count == count + 1,
      "'\(role)' of '\(operation.kind.rawValue)' is \(type), not rows with \(count) axes")
    return type
  }

  /// The cache an operation keeps.
  func cache() throws(OpError) -> CacheDeclaration {
    guard case .cache(let index)? = operation.operand("cache"),
      function.caches.indices.contains(index)
    else { throw OpError("'\(operation.kind.rawValue)' has no cache") }
    return function.caches[index]
  }

  func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(OpError) {
    if !condition { throw OpError(message()) }
  }

  /// Requires that a cache keeps parts of the given axes, names apart.
  func requireCache(_ kind: CacheDeclaration.Kind, parts: [[Axis]]) throws(OpError) {
    let cache = try cache()
    try require(
      cache.kind == kind && cache.parts.map { $0.map(\.size) } == parts.map { $0.map(\.size) },
      "cache '\(cache.name)' does not hold what '\(operation.kind.rawValue)' keeps")
  }
}
