// A module with an operation of its own: the activation of Ziyin, Hartwig and Ueda, "Neural Networks
// Fail to Learn Periodic Functions and How to Fix It" (2020), whose frequency is learned for each
// channel. A model file takes it with the line `// with: snake.swift`.

import EPModel

/// A feed-forward `down(snake(up(x)))`, where `snake(x) = x + sin(a x)^2 / a`.
public struct SnakeFeedForward: Module {
  var size: Int

  /// Makes one with so many channels.
  public init(_ size: Int) { self.size = size }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let channels = x.trace.intermediate(size)
    let frequency = x.trace.weight("snake.frequency", [channels], role: .vector)
    return x.linear("up_proj", to: [channels])
      // Channel by channel, so ranks may compute parts of them. A sine counts as ten operations.
      .custom("snake", with: [frequency], split: [channels.name], operations: 14)
      .linear("down_proj", to: [width])
  }
}
