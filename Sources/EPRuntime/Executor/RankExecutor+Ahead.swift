internal import EPBackend
internal import EPModel
internal import EPPlan

// What runs while ranks have yet to meet.
extension RankExecutor {
  /// While ranks have yet to meet, runs what follows in other micro-batches, up to the next meeting.
  ///
  /// That is what schedules of micro-batches are for: exchanges take place beside kernels that need
  /// nothing of them. Order within a micro-batch, and among those that share a state, stays.
  ///
  /// - Parameter progress: called after every operation, so that a transport may move on.
  func runAhead(_ progress: () throws(ExecutionError) -> Void) throws(ExecutionError) {
    // Streamed experts are brought in for one dispatch after the other.
    if runner != nil || expertCache != nil || !isWaiting { return }
    let waiting = issues[issueIndex].batch
    defer { select(waiting) }
    while issueIndex + 1 + ahead < issues.count {
      let issue = issues[issueIndex + 1 + ahead]
      if issue.batch == waiting { return }
      select(issue.batch)
      let call = calls[issue.call]
      guard call.kernels.indices.contains(issue.operation), call.kernels[issue.operation] != nil
      else {
        return
      }
      if !hasEntered { enter(call) }
      _ = try runKernel(issue.operation, of: call)
      ahead += 1
      end(issue)
      try progress()
    }
  }
}
