internal import EPBackend
internal import EPModel
internal import EPPlan

/// How far a backend has got with a micro-batch of a step, and whether what it asks for is its turn.
struct ProgramWalk {
  /// How far an operation is.
  private enum State { case waiting, started, ended }

  private let program: RankProgram
  /// The calls of the phase, in order.
  private let calls: [Int]
  /// The place in `calls` of the call being run.
  private var place = -1
  private var states: [State] = []
  /// Operations of the call that have not ended.
  private var left = 0

  init(_ program: RankProgram, phase: [Issue]) {
    self.program = program
    var calls: [Int] = []
    var seen: Set<Int> = []
    for issue in phase where seen.insert(issue.call).inserted { calls.append(issue.call) }
    self.calls = calls
  }

  private func function(_ call: Int) -> ShardedFunction {
    program.functions[program.calls[call].function]
  }

  /// What has not been done of the phase, or nil.
  var rest: String? {
    if left > 0 { return "\(left) operations of call \(calls[place]) have not ended" }
    let more = calls.dropFirst(place + 1).filter { !function($0).function.operations.isEmpty }
    return more.first.map { "call \($0) has not been entered" }
  }

  /// Goes on to a call; the calls to enter, those without operations in between among them.
  mutating func enter(_ call: Int) throws(ProgramFault) -> [Int] {
    if left > 0 {
      throw ProgramFault("\(left) operations of call \(calls[place]) have not ended")
    }
    var entered: [Int] = []
    var next = place + 1
    while next < calls.count, calls[next] != call,
      function(calls[next]).function.operations.isEmpty
    {
      entered.append(calls[next])
      next += 1
    }
    guard next < calls.count, calls[next] == call else {
      throw ProgramFault(
        next < calls.count
          ? "call \(call); the next is \(calls[next])"
          : "call \(call); the phase has no more")
    }
    place = next
    left = function(call).function.operations.count
    states = Array(repeating: .waiting, count: left)
    return entered + [call]
  }

  /// The calls without operations behind the last one.
  mutating func finish() -> [Int] {
    defer { place = calls.count }
    return Array(calls.dropFirst(place + 1))
  }

  /// Whether an operation may be named: it is of the call entered, and of the right kind.
  private func checked(
    _ issue: Issue, isExchange: Bool
  ) throws(ProgramFault) -> ShardedFunction {
    guard calls.indices.contains(place), calls[place] == issue.call else {
      throw ProgramFault("call \(issue.call) has not been entered")
    }
    let function = function(issue.call)
    guard states.indices.contains(issue.operation) else {
      throw ProgramFault(
        "'\(function.function.name)' has no operation \(UInt(bitPattern: issue.operation))")
    }
    let kind = function.function.operations[issue.operation].kind
    if kind.isExecutors != isExchange {
      throw ProgramFault(
        "'\(kind.rawValue)' is \(isExchange ? "no exchange" : "an exchange: start and finish it")")
    }
    return function
  }

  /// Whether what an operation waits for has ended.
  private func checkWaits(_ issue: Issue, in function: ShardedFunction) throws(ProgramFault) {
    func name(_ number: Int) -> String {
      "operation \(number) '\(function.function.operations[number].kind.rawValue)'"
    }
    for earlier in function.waits[issue.operation] where states[earlier] != .ended {
      throw ProgramFault(
        "\(name(issue.operation)) of '\(function.function.name)' waits for \(name(earlier)), which "
          + "has not ended")
    }
  }

  /// Notes that an operation runs, and has ended before the next is asked for.
  mutating func run(_ issue: Issue) throws(ProgramFault) {
    try checkWaits(issue, in: try checked(issue, isExchange: false))
    end(issue)
  }

  /// Notes that an exchange has been started.
  mutating func start(_ issue: Issue) throws(ProgramFault) {
    try checkWaits(issue, in: try checked(issue, isExchange: true))
    if states[issue.operation] != .waiting { throw ProgramFault("it has been started already") }
    states[issue.operation] = .started
  }

  /// Whether an exchange that was started has ended.
  func hasEnded(_ issue: Issue) throws(ProgramFault) -> Bool {
    _ = try checked(issue, isExchange: true)
    if states[issue.operation] == .waiting { throw ProgramFault("it has not been started") }
    return states[issue.operation] == .ended
  }

  /// Notes that an operation has ended.
  mutating func end(_ issue: Issue) {
    if states[issue.operation] == .ended { return }
    states[issue.operation] = .ended
    left -= 1
  }
}

/// What a backend that runs a program did wrong.
struct ProgramFault: Error {
  var message: String
  /// Whether it is for want of memory.
  var isMemory = false

  init(_ message: String, isMemory: Bool = false) {
    self.message = message
    self.isMemory = isMemory
  }
}
