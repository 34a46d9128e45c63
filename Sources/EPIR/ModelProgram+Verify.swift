public import EPModel

extension ModelProgram {
  /// Checks that the calls make a model: layers are numbered in order, what a call takes is what
  /// one before it made, logits come out, and everything referred to is there.
  ///
  /// The functions by themselves are checked by `Function.verify()`.
  public func verifyCalls() throws(OpError) {
    var next = 0
    for call in calls + drafts {
      if !functions.indices.contains(call.function) {
        throw OpError("call of function \(call.function) of \(functions.count)")
      }
      if call.layers != Array(next..<(next + call.layers.count)) {
        throw OpError("the calls do not number the layers 0, 1, 2, ... once each")
      }
      next += call.layers.count
    }
    if layerCount == 0 { throw OpError("a model has at least one layer") }
    var made: [String: TensorType] = [:]
    for call in calls { try follow(call, &made) }
    if made["logits"] == nil { throw OpError("no call makes 'logits'") }
    for call in drafts { try follow(call, &made) }
    for function in functions {
      try function.verifyExperts()
      let places = function.operations.map(\.location)
      if let place = places.first(where: { $0 >= locations.count }) {
        throw OpError("'\(function.name)' stands at place \(place) of \(locations.count)")
      }
    }
  }

  private func follow(
    _ call: Call, _ made: inout [String: TensorType]
  ) throws(OpError) {
    let function = functions[call.function]
    let ids = TensorType([.tokens], element: .index)
    // Twice is enough: what a layer makes is what the next one takes.
    for _ in 0..<min(max(call.layers.count, 1), 2) {
      for parameter in function.parameters {
        let isInput = parameter.name == "ids" || parameter.name == "modality"
        let type = function.values[parameter.value]
        if type != (isInput ? ids : made[parameter.name]) {
          throw OpError(
            "'\(function.name)' takes '\(parameter.name)' as \(type), which nothing before it makes"
          )
        }
      }
      for result in function.results {
        let type = function.values[result.value]
        if result.name == "x" && type != TensorType([.tokens, .hidden(hidden)]) {
          throw OpError("'\(function.name)' makes 'x' as \(type), the hidden size is \(hidden)")
        }
        made[result.name] = type
      }
    }
  }
}

extension Function {
  /// What is dispatched comes back from the same experts, and weights are those experts' ones.
  func verifyExperts() throws(OpError) {
    let sent = operations.filter { $0.kind == .dispatch }
    let returned = operations.filter { $0.kind == .combine }
    let experts = sent.first?.attributes.int("experts")
    let isPaired =
      sent.count == returned.count
      && zip(sent, returned).allSatisfy {
        $0.operand("indices") == $1.operand("indices")
          && $0.attributes["experts"] == $1.attributes["experts"]
      }
    if !isPaired || sent.contains(where: { $0.attributes.int("experts") != experts }) {
      throw OpError("dispatches and combines of '\(name)' do not pair up")
    }
    for weight in weights {
      let position = weight.axes.firstIndex { $0.split == .expert }
      if let position, position > 0 || weight.axes[0].size != experts {
        throw OpError(
          "'\(weight.name)' is \(weight.type), '\(name)' dispatches to \(experts ?? 0) experts")
      }
    }
  }
}
