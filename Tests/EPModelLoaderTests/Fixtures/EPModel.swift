// A stand-in for the model library: as much of it as a loader can see.

import Glibc

/// A model of a name.
public final class Model {
  let name: String

  /// Runs `body`, which is what a model file can do.
  public init(_ name: String, body: () -> Void = {}) {
    self.name = name
    body()
  }
}

/// Writes the model in its envelope.
public func emitModel(_ model: Model, descriptor: Int32) {
  send("epc-model 1\n{\"name\":\"\(model.name)\"}\n", to: descriptor)
}

/// Writes any bytes, so that a model file can misbehave.
public func send(_ text: String, to descriptor: Int32) {
  var bytes = Array(text.utf8)[...]
  while !bytes.isEmpty {
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count <= 0 { return }
    bytes = bytes.dropFirst(count)
  }
}
