internal import EPPlan

/// A graph cut into layers, with a stand-in wherever a value passes a layer by.
struct GraphLayers {
  /// A node, or the place where a value passes a layer.
  struct Item {
    var node: Int?
    var layer: Int
    var scope: [String]
    /// Whether it is an operation of the communication stream.
    var inLane: Bool
    /// Whether it carries a value past whole modules, as residual connections do.
    var inGutter: Bool
    /// Pixels it takes to the left and right of its middle.
    var half: Double
  }

  /// A value's way from a layer to the next.
  struct Link: Hashable {
    var from: Int
    var to: Int
    var value: Int
  }

  /// How many layers a value must pass to be led around at the left.
  static let gutterLength = 4

  /// Nodes first, in the graph's order, then stand-ins.
  private(set) var items: [Item] = []
  /// The items of each layer, from left to right.
  private(set) var layers: [[Int]] = []
  /// All ways.
  private(set) var links: [Link] = []
  /// What each item is linked to in the layer above, and in the one below.
  private(set) var above: [[Int]] = []
  private(set) var below: [[Int]] = []

  /// Cuts a graph into layers by longest path; outputs go last.
  init(_ graph: PlanGraph) {
    var layer = Array(repeating: 0, count: graph.nodes.count)
    for edge in graph.edges { layer[edge.to] = max(layer[edge.to], layer[edge.from] + 1) }
    // What reads no value, such as a weight's exponential, stands right above its first reader.
    let reading = Set(graph.edges.map(\.to))
    var first: [Int: Int] = [:]
    for edge in graph.edges { first[edge.from] = min(first[edge.from] ?? .max, layer[edge.to]) }
    for (index, node) in graph.nodes.enumerated()
    where node.operation != nil && !reading.contains(index) {
      layer[index] = max((first[index] ?? 1) - 1, 0)
    }
    let last = layer.max() ?? 0
    for (index, node) in graph.nodes.enumerated() {
      let isOutput = node.operation == nil && node.results.isEmpty
      items.append(
        Item(
          node: index, layer: isOutput ? last : layer[index], scope: node.scope,
          inLane: node.stream == .communication, inGutter: false,
          half: max(GraphMetrics.width(of: node), GraphMetrics.labelsWidth(of: node, graph)) / 2))
    }
    link(graph)
    layers = Array(repeating: [], count: last + 1)
    for (index, item) in items.enumerated() { layers[item.layer].append(index) }
    above = Array(repeating: [], count: items.count)
    below = above
    for link in links {
      above[link.to].append(link.from)
      below[link.from].append(link.to)
    }
  }

  /// Readers of one value share one chain of stand-ins.
  private mutating func link(_ graph: PlanGraph) {
    var readers: [Int: [Int]] = [:]
    var makers: [Int: Int] = [:]
    for edge in graph.edges {
      readers[edge.value, default: []].append(edge.to)
      makers[edge.value] = edge.from
    }
    for (value, maker) in makers.sorted(by: { $0.key < $1.key }) {
      let all = readers[value] ?? []
      let scope = all.reduce(graph.nodes[maker].scope) { common, reader in
        Array(zip(common, graph.nodes[reader].scope).prefix { $0 == $1 }.map(\.0))
      }
      var chain = [maker]
      let deepest = all.map { items[$0].layer }.max() ?? 0
      let passed = (items[maker].layer + 1)..<max(deepest, items[maker].layer + 1)
      let isLong = scope.isEmpty && passed.count >= GraphLayers.gutterLength
      for layer in passed {
        items.append(
          Item(node: nil, layer: layer, scope: scope, inLane: false, inGutter: isLong, half: 5))
        links.append(Link(from: chain[chain.count - 1], to: items.count - 1, value: value))
        chain.append(items.count - 1)
      }
      for reader in all {
        let link = Link(
          from: chain[items[reader].layer - items[maker].layer - 1], to: reader, value: value)
        links.append(link)
      }
    }
  }

  /// Orders every layer by barycenters, down and up, from the given order and from its mirror image,
  /// and keeps the order with the fewest crossings.
  mutating func order() {
    let given = layers
    var best = (layers: given, crossings: Int.max, length: Double.infinity)
    for isMirrored in [false, true] {
      layers = isMirrored ? given.map { $0.reversed() } : given
      var position = Array(repeating: 0.0, count: items.count)
      for layer in layers { note(layer, &position) }
      for sweep in 0..<24 {
        let isDown = sweep % 2 == 0
        for number in isDown ? Array(layers.indices) : layers.indices.reversed() {
          sort(number, by: isDown ? above : below, &position)
        }
        let (crossings, length) = quality(position)
        if (crossings, length) < (best.crossings, best.length) {
          best = (layers, crossings, length)
        }
      }
    }
    layers = best.layers
  }

  /// The lane lies right of all else, whatever else its layer holds.
  private func note(_ layer: [Int], _ position: inout [Double]) {
    for (place, item) in layer.enumerated() {
      position[item] = Double(place) + (items[item].inLane ? 100 : 0)
    }
  }

  /// Sorts a layer by the mean position of what its items are linked to.
  private mutating func sort(_ number: Int, by linked: [[Int]], _ position: inout [Double]) {
    var wish = position
    for item in layers[number] where !linked[item].isEmpty {
      wish[item] = linked[item].reduce(0) { $0 + position[$1] } / Double(linked[item].count)
    }
    func ordered(_ members: [Int]) -> [Int] {
      members.sorted { (wish[$0], $0) < (wish[$1], $1) }
    }
    let gutter = layers[number].filter { items[$0].inGutter }
    let lane = layers[number].filter { items[$0].inLane }
    let rest = layers[number].filter { !items[$0].inLane && !items[$0].inGutter }
    layers[number] = ordered(gutter) + grouped(rest, depth: 0, wish) + ordered(lane)
    note(layers[number], &position)
  }

  /// Sorts by wish, the items of a module side by side.
  private func grouped(_ members: [Int], depth: Int, _ wish: [Double]) -> [Int] {
    var groups: [(name: String?, members: [Int])] = []
    for member in members {
      let name = items[member].scope.count > depth ? items[member].scope[depth] : nil
      if let name, let position = groups.firstIndex(where: { $0.name == name }) {
        groups[position].members.append(member)
      } else {
        groups.append((name, [member]))
      }
    }
    func mean(_ members: [Int]) -> Double {
      members.reduce(0) { $0 + wish[$1] } / Double(max(members.count, 1))
    }
    return groups.sorted {
      (mean($0.members), $0.members[0]) < (mean($1.members), $1.members[0])
    }.flatMap { $0.name == nil ? $0.members : grouped($0.members, depth: depth + 1, wish) }
  }

  /// Pairs of ways that cross, and how far ways go to the side.
  private func quality(_ position: [Double]) -> (crossings: Int, length: Double) {
    var byLayer = Array(repeating: [(from: Double, to: Double)](), count: layers.count)
    for link in links {
      byLayer[items[link.from].layer].append((position[link.from], position[link.to]))
    }
    var (crossings, length) = (0, 0.0)
    for ways in byLayer {
      for (index, one) in ways.enumerated() {
        length += (one.from - one.to).magnitude
        for other in ways[(index + 1)...] where (one.from - other.from) * (one.to - other.to) < 0 {
          crossings += 1
        }
      }
    }
    return (crossings, length)
  }
}
