/// A symbolic tensor: rows of named axes that modules compute with.
///
/// Two tensors join by the names of their axes, so `x[tokens, heads, dim] * gate[tokens, heads]`
/// multiplies every head by its gate.
public struct Tensor {
  /// The function being built.
  public let trace: Trace
  let reference: Reference?

  init(_ trace: Trace, _ reference: Reference?) {
    self.trace = trace
    self.reference = reference
  }

  /// The type; a void tensor has no axes.
  public var type: TensorType {
    reference.flatMap { trace.function.type(of: $0) } ?? TensorType([])
  }

  /// The axes, the row axis first.
  public var axes: [Axis] { type.axes }

  /// Whether an operation before this one failed.
  public var isVoid: Bool { reference == nil }

  /// The size of the axis of that name, or 1 where it has none.
  public func size(of name: String) -> Int { type.axis(named: name)?.size ?? 1 }

  /// The names of all axes but the row axis.
  var columns: [String] { axes.filter { !$0.isRows }.map(\.name) }
}

extension Tensor {
  /// Runs a module on this tensor, with its weights under its own name or else under `name`.
  public func through(_ module: any Module, named name: String) -> Tensor {
    trace.located(module.location) {
      trace.scoped(module.name ?? name) { module(self) }
    }
  }

  /// A matrix product with a weight of its own, plus a bias if asked for.
  ///
  /// - Parameters:
  ///   - name: the weight's name below the current path; `.weight` and `.bias` are appended.
  ///   - axes: the axes made, appended to the rows and to the batch axes.
  ///   - batch: axes that the weight has too and that stay: every head has its own matrix.
  ///   - stored: where a checkpoint may hold weight and bias, if not under their own names.
  public func linear(
    _ name: String, to axes: [Axis], batch: [String] = [], bias: Bool = false,
    role: WeightDeclaration.Role = .linear, stored: [StoredTensor]? = nil,
    biasStored: [StoredTensor]? = nil
  ) -> Tensor {
    if isVoid { return self }
    let kept = self.axes.filter { batch.contains($0.name) }
    let contracted = self.axes.filter { !$0.isRows && !batch.contains($0.name) }
    let weight = trace.weight(
      name + ".weight", kept + axes + contracted, role: role, stored: stored)
    let offset =
      bias ? trace.weight(name + ".bias", kept + axes, role: .vector, stored: biasStored) : nil
    return product(weight, contracted: contracted.map(\.name), batch: batch, bias: offset)
  }

  /// A matrix product with a weight declared elsewhere: a tied head, a shared projection.
  public func product(
    _ weight: Tensor, contracted: [String], batch: [String] = [], bias: Tensor? = nil
  ) -> Tensor {
    trace.append(
      .linear, [("x", self), ("weight", weight), ("bias", bias)],
      Attributes([
        "contract": .list(contracted.map(Attribute.text)),
        "batch": batch.isEmpty ? nil : .list(batch.map(Attribute.text)),
      ]))[0]
  }

  /// Looks every index up in a table `[vocabulary, ...]`.
  public func embedded(in table: Tensor) -> Tensor {
    trace.append(.embed, [("ids", self), ("table", table)])[0]
  }

  /// The sum over the named axes of the products with another tensor, joined by axis names.
  public func contracted(with other: Tensor, over axes: [String]) -> Tensor {
    trace.append(
      .contract, [("a", self), ("b", other)],
      Attributes(["contract": .list(axes.map(Attribute.text))]))[0]
  }
}

extension Tensor {
  /// A function of every element; see `OpKind.activations` for the names.
  public func applying(_ function: String) -> Tensor {
    trace.append(.unary, [("x", self)], Attributes(["function": .text(function)]))[0]
  }

  /// `x * sigmoid(x)`.
  public func silu() -> Tensor { applying("silu") }
  /// The logistic function.
  public func sigmoid() -> Tensor { applying("sigmoid") }
  /// `log(1 + exp(x))`.
  public func softplus() -> Tensor { applying("softplus") }
  /// The exponential function.
  public func exp() -> Tensor { applying("exp") }

  /// Elements below `low` become `low`, those above `high` become `high`.
  public func clamped(low: Double? = nil, high: Double? = nil) -> Tensor {
    trace.append(
      .unary, [("x", self)],
      Attributes([
        "function": "clamp", "low": low.map(Attribute.real), "high": high.map(Attribute.real),
      ]))[0]
  }

  /// `factor * x + offset`.
  public func affine(factor: Double = 1, offset: Double = 0) -> Tensor {
    if factor == 1 && offset == 0 { return self }
    return trace.append(
      .affine, [("x", self)],
      Attributes([
        "factor": factor == 1 ? nil : .real(factor), "offset": offset == 0 ? nil : .real(offset),
      ]))[0]
  }

  func joined(_ other: Tensor, _ function: String) -> Tensor {
    trace.append(
      .binary, [("a", self), ("b", other)], Attributes(["function": .text(function)]))[0]
  }

  /// The sum, joined by axis names.
  public static func + (a: Tensor, b: Tensor) -> Tensor { a.joined(b, "add") }
  /// The difference, joined by axis names.
  public static func - (a: Tensor, b: Tensor) -> Tensor { a.joined(b, "subtract") }
  /// The product, joined by axis names.
  public static func * (a: Tensor, b: Tensor) -> Tensor { a.joined(b, "multiply") }
  /// The quotient, joined by axis names.
  public static func / (a: Tensor, b: Tensor) -> Tensor { a.joined(b, "divide") }
  /// Every element times a number.
  public static func * (a: Tensor, b: Double) -> Tensor { a.affine(factor: b) }
  /// The negation.
  public static prefix func - (a: Tensor) -> Tensor { a.affine(factor: -1) }
}

extension Tensor {
  /// The softmax along one axis.
  public func softmax(along axis: String) -> Tensor {
    trace.append(.softmax, [("x", self)], Attributes(["axis": .text(axis)]))[0]
  }

  /// The sum over the named axes, which disappear.
  public func sum(over axes: [String]) -> Tensor { reduced("sum", axes) }
  /// The mean over the named axes, which disappear.
  public func mean(over axes: [String]) -> Tensor { reduced("mean", axes) }
  /// The maximum over the named axes, which disappear.
  public func maximum(over axes: [String]) -> Tensor { reduced("max", axes) }

  private func reduced(_ function: String, _ axes: [String]) -> Tensor {
    trace.append(
      .reduce, [("x", self)],
      Attributes(["function": .text(function), "axes": .list(axes.map(Attribute.text))]))[0]
  }

  /// The elements of one axis from `start`, `count` of them.
  public func slice(_ axis: String, from start: Int, count: Int) -> Tensor {
    trace.append(
      .slice, [("x", self)],
      Attributes(["axis": .text(axis), "start": .int(start), "count": .int(count)]))[0]
  }

  /// Several tensors one after the other along one axis.
  public func concatenated(with others: [Tensor], along axis: String) -> Tensor {
    trace.append(
      .concat, ([self] + others).map { ("x", $0) }, Attributes(["axis": .text(axis)]))[0]
  }

  /// The consecutive axes `from` read as the axes `to`, in row-major order.
  public func reshaped(_ from: [String], to: [Axis]) -> Tensor {
    trace.append(
      .reshape, [("x", self)],
      Attributes([
        "from": .list(from.map(Attribute.text)),
        "to": .list(to.map { .text($0.description) }),
      ]))[0]
  }

  /// Llama 4's temperature of positions: `x * (1 + scale * log(1 + floor((position + 1) / floor)))`.
  public func scaledByPosition(floor: Double, scale: Double) -> Tensor {
    trace.append(
      .positionScale, [("x", self)],
      Attributes(["floor": .real(floor), "scale": .real(scale)]))[0]
  }

  /// The root-mean-square, layer or Euclidean norm along the last axes.
  public func normalized(
    _ form: String, over axes: [String], epsilon: Double, weight: Tensor? = nil,
    bias: Tensor? = nil, weightOffset: Double = 0
  ) -> Tensor {
    trace.append(
      .norm, [("x", self), ("weight", weight), ("bias", bias)],
      Attributes([
        "form": .text(form), "axes": .list(axes.map(Attribute.text)), "epsilon": .real(epsilon),
        "weight_offset": weightOffset == 0 ? nil : .real(weightOffset),
      ]))[0]
  }
}
