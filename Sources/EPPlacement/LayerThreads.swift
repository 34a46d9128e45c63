internal import Dispatch
internal import Synchronization

/// Layers, worked on side by side.
enum LayerThreads {
  /// What `body` makes of each layer, in order; the result does not depend on `threads`.
  static func map<Result: Sendable>(
    _ layers: Int, threads: Int, _ body: @Sendable (Int) -> Result
  ) -> [Result] {
    let workers = min(threads, layers)
    if workers < 2 { return (0..<layers).map(body) }
    let results = Mutex([Result?](repeating: nil, count: layers))
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      while true {
        let layer = next.add(1, ordering: .relaxed).oldValue
        if layer >= layers { return }
        let result = body(layer)
        results.withLock { $0[layer] = result }
      }
    }
    return results.withLock { $0.compactMap { $0 } }
  }
}
