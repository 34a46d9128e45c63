internal import Dispatch
internal import Synchronization

/// What `body` makes of each of `count` things that do not depend on each other, in order; the result
/// does not depend on `threads`.
package func concurrentMap<Made: Sendable>(
  _ count: Int, threads: Int, _ body: @Sendable (Int) -> Made
) -> [Made] {
  let workers = min(threads, count)
  if workers < 2 { return (0..<count).map(body) }
  let made = Mutex([Made?](repeating: nil, count: count))
  let next = Atomic(0)
  DispatchQueue.concurrentPerform(iterations: workers) { _ in
    while true {
      let index = next.add(1, ordering: .relaxed).oldValue
      if index >= count { return }
      let one = body(index)
      made.withLock { $0[index] = one }
    }
  }
  return made.withLock { $0.compactMap { $0 } }
}
