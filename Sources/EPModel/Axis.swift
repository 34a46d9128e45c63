/// One named dimension of a tensor.
public struct Axis: Hashable, Sendable {
}
