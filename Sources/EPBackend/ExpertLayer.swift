/// What belongs to the four operations of a layer of routed experts: their kernels, or their arguments.
public struct ExpertLayer<Part> {
  /// Of the product with the gate's matrices.
  public var gate: Part
  /// Of the product with those beside it.
  public var up: Part
  /// Of what joins the two.
  public var glu: Part
  /// Of the product that makes rows of the model's width again.
  public var down: Part

  /// Puts them together.
  public init(gate: Part, up: Part, glu: Part, down: Part) {
    self.gate = gate
    self.up = up
    self.glu = glu
    self.down = down
  }
}

extension ExpertLayer: Sendable where Part: Sendable {}

extension Device {
  /// One operation after the other, unless a device says otherwise.
  public func fuses(_ layer: ExpertLayer<Kernel>) -> Bool { false }

  /// A device that fuses nothing is never asked.
  public func run(
    _ layer: ExpertLayer<Kernel>, _ arguments: ExpertLayer<OpArguments>, x: Memory,
    sources: Memory?, to result: Memory, _ step: StepState
  ) throws(BackendError) {
    preconditionFailure("'\(name)' fuses no layers of experts")
  }
}
