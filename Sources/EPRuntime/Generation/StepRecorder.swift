internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// Collects routing and hidden states of tokens while steps run.
final class StepRecorder {
  struct Place: Hashable {
    var sequence: Int
    var layer: Int
    var position: Int
  }

  let kept: GenerationRequest.Kept
  var routes: [Place: (experts: [Int32], weights: [Float])] = [:]
  var hidden: [Place: [Float]] = [:]
  var finalNorm: [Place: [Float]] = [:]

  init(_ kept: GenerationRequest.Kept) { self.kept = kept }

  /// Makes a pool's ranks report here.
  func attach<D: Device>(to runner: PoolRunner<D>) {
    for rank in runner.ranks {
      let coordinates = rank.program.coordinates
      // The last router of a function is the one that tokens are dispatched by.
      let routers = rank.program.functions.map { function in
        function.function.operations.lastIndex { $0.kind == .route }
      }
      rank.observer = { [unowned self] observation in
        if let operation = observation.operation {
          if kept.contains(.routing), observation.draft == nil,
            operation == routers[observation.function]
          {
            record(observation, tensor: coordinates.tensor)
          }
        } else if kept.contains(.hidden), observation.draft == nil {
          recordHidden(observation, tensor: coordinates.tensor)
        }
      }
    }
  }

  /// Makes a pool's ranks report no more.
  func detach<D: Device>(from runner: PoolRunner<D>) {
    for rank in runner.ranks { rank.observer = nil }
  }

  private func record<D: Device>(
    _ observation: RankExecutor<D>.Observation, tensor: Int
  ) {
    let type = observation.values[0].type
    let topK = type.elementsPerRow
    let experts = observation.values[0].place.integers
    let weights = observation.values[1].place.floats
    let kind = RowKind(type)
    // All tensor ranks have the rows of all tokens; one is enough.
    if kind == .tokens && tensor > 0 { return }
    let rows = observation.places(kind)
    for (row, place) in rows.enumerated() {
      let choices = ((row * topK)..<((row + 1) * topK)).sorted {
        (experts[$0], $0) < (experts[$1], $1)
      }
      routes[
        Place(sequence: place.sequence, layer: observation.layer, position: place.position)] = (
          choices.map { experts[$0] }, choices.map { weights[$0] }
        )
    }
  }

  private func recordHidden<D: Device>(
    _ observation: RankExecutor<D>.Observation, tensor: Int
  ) {
    for value in observation.values {
      let isLayer = value.name == "x" && observation.layer >= 0
      if !isLayer && value.name != "hidden" { continue }
      let width = value.type.elementsPerRow
      let elements = value.place.floats
      let kind = RowKind(value.type)
      if kind == .tokens && tensor > 0 { continue }
      let rows = observation.places(kind)
      for (row, place) in rows.enumerated() {
        let key = Place(
          sequence: place.sequence, layer: observation.layer, position: place.position)
        let state = Array(elements[(row * width)..<((row + 1) * width)])
        if isLayer { hidden[key] = state } else { finalNorm[key] = state }
      }
    }
  }

  /// Puts what was collected of a sequence into its result.
  func fill(_ result: inout PromptResult, sequence: Int) {
    let prompt = result.prompt.count
    let end = prompt + max(result.tokens.count - 1, 0)
    for layer in Set(routes.keys.filter { $0.sequence == sequence }.map(\.layer)).sorted() {
      func table(_ positions: Range<Int>) -> PromptResult.Routes {
        var table = PromptResult.Routes(topK: 0, experts: [], weights: [])
        for position in positions {
          guard
            let row = routes[Place(sequence: sequence, layer: layer, position: position)]
          else { continue }
          table.topK = row.experts.count
          table.experts += row.experts
          table.weights += row.weights
        }
        return table
      }
      result.routes[layer] = table(0..<prompt)
      if end > prompt { result.decodeRoutes[layer] = table(prompt..<end) }
    }
    for layer in Set(hidden.keys.filter { $0.sequence == sequence }.map(\.layer)).sorted() {
      result.hidden[layer] = (0..<prompt).flatMap {
        hidden[Place(sequence: sequence, layer: layer, position: $0)] ?? []
      }
    }
    result.finalNorm = (0..<prompt).flatMap {
      finalNorm[Place(sequence: sequence, layer: -1, position: $0)] ?? []
    }
  }
}
