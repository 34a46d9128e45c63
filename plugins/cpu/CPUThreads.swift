internal import CEPKernels
internal import EPBackend

/// Threads that share out the work of kernels.
@safe
final class CPUThreads: @unchecked Sendable {
  let pool: OpaquePointer
  let count: Int

  /// Starts `count - 1` threads; fewer where the system has no more.
  init(_ count: Int) {
    var left = max(count, 1)
    while true {
      if let pool = unsafe epc_pool_create(left) {
        unsafe self.pool = unsafe pool
        self.count = left
        return
      }
      // One thread is the caller: it needs memory alone.
      precondition(left > 1, "out of memory")
      left = 1
    }
  }

  deinit { unsafe epc_pool_destroy(pool) }

  /// Runs a body for 0 up to `count`, shared out, and returns when all is done. The second argument
  /// numbers the thread.
  func run(_ count: Int, _ body: (Int, Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      var work = Work(body: body)
      unsafe withUnsafeMutablePointer(to: &work) { work in
        unsafe epc_pool_run(
          pool, count,
          { context, index, worker in
            unsafe context?.assumingMemoryBound(to: Work.self).pointee.body(index, worker)
          }, UnsafeMutableRawPointer(work))
      }
    }
  }

  /// Room that belongs to a thread until it asks again.
  func scratch(_ worker: Int, bytes: Int) -> Memory {
    guard let room = unsafe epc_pool_scratch(pool, worker, bytes) else {
      preconditionFailure("out of memory")
    }
    return unsafe Memory(room, bytes: bytes)
  }

  private struct Work {
    var body: (Int, Int) -> Void
  }
}
