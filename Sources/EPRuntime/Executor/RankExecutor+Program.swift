public import EPBackend
internal import EPModel
internal import EPPlan

// Steps of a rank whose device takes whole programs: it says what comes next.
extension RankExecutor: RankHost {
  /// Lets the device run its program until ranks must meet; nil when the step is done.
  func resume(_ runner: any RankRunner) throws(ExecutionError) -> Request? {
    while true {
      let issue: Issue?
      do { issue = try runner.resume() } catch { throw .backend(error) }
      guard let issue else { break }
      select(issue.batch)
      (issues, issueIndex) = ([issue], 0)
      let operation = variants[call.function].function.function.operations[issue.operation]
      if let request = try meet(
        operation, issue.operation, call.arguments[issue.operation])
      {
        return request
      }
    }
    for (batch, last) in entered.enumerated() {
      guard let last else { continue }
      select(batch)
      leave(calls[last])
    }
    return nil
  }

  /// Moves a micro-batch on to a call; see `RankHost`.
  public func enter(batch: Int, call: Int) {
    select(batch)
    if let last = entered[batch] { leave(calls[last]) }
    enter(calls[call])
    entered[batch] = call
  }

  /// The state of a micro-batch; see `RankHost`.
  public func state(ofBatch batch: Int) -> StepState {
    select(batch)
    return step
  }

  /// The places of an operation's operands and results; see `RankHost`.
  public func arguments(of issue: Issue) -> OpArguments {
    select(issue.batch)
    return calls[issue.call].arguments[issue.operation]
  }
}
