/// The horizontal place of every item of a layered graph.
struct GraphPositions {
  /// The middle of each item, in pixels.
  private(set) var x: [Double]

  /// Places items so that linked ones stand below each other as far as their order allows.
  init(_ layers: GraphLayers) {
    x = Array(repeating: 0, count: layers.items.count)
    let main = layers.layers.map {
      $0.filter { !layers.items[$0].inLane && !layers.items[$0].inGutter }
    }
    for layer in main { settle(layer, layers, by: { _ in [] }) }
    // Down and up once, for a start; then minimise the sum of squared bends layer by layer. Every
    // such step makes the sum smaller, so that nothing drifts.
    for layer in main { settle(layer, layers, by: { layers.above[$0] }) }
    for layer in main.reversed() { settle(layer, layers, by: { layers.below[$0] }) }
    for sweep in 0..<160 {
      for layer in sweep % 2 == 0 ? main : main.reversed() {
        settle(layer, layers, by: { layers.above[$0] + layers.below[$0] })
      }
    }
    let inner = main.flatMap { $0 }
    shift(inner + placeGutter(main, layers), layers, to: GraphLayout.Space.margin + 24)
    placeLane(main, layers)
  }

  /// Where an item would like to stand, in line with what it is linked to, and how much so.
  private func wish(
    _ item: Int, _ layers: GraphLayers, _ linked: [Int]
  ) -> (x: Double, weight: Double) {
    var (sum, weight) = (0.0, 0.0)
    for other in linked where !layers.items[other].inLane && !layers.items[other].inGutter {
      let isThrough = layers.items[other].node == nil && layers.items[item].node == nil
      let pull = isThrough ? 8.0 : 1.0
      sum += x[other] * pull
      weight += pull
    }
    return weight > 0 ? (sum / weight, weight) : (x[item], 0.01)
  }

  /// The places nearest to the wishes, in least squares, that keep order and distance: after taking
  /// the distances off, an isotonic regression by pooling adjacent violators.
  private mutating func settle(
    _ layer: [Int], _ layers: GraphLayers, by linked: (Int) -> [Int]
  ) {
    var offset = 0.0
    var offsets: [Double] = []
    var pools: [(sum: Double, weight: Double, count: Int)] = []
    for (position, item) in layer.enumerated() {
      if position > 0 { offset += distance(layer[position - 1], item, layers) }
      offsets.append(offset)
      let (place, weight) = wish(item, layers, linked(item))
      pools.append(((place - offset) * weight, weight, 1))
      while pools.count > 1, let last = pools.last {
        let before = pools[pools.count - 2]
        if before.sum / before.weight <= last.sum / last.weight { break }
        pools.removeLast(2)
        pools.append(
          (before.sum + last.sum, before.weight + last.weight, before.count + last.count))
      }
    }
    var position = 0
    for pool in pools {
      for _ in 0..<pool.count {
        x[layer[position]] = pool.sum / pool.weight + offsets[position]
        position += 1
      }
    }
  }

  /// The least distance between the middles of two neighbours.
  private func distance(_ left: Int, _ right: Int, _ layers: GraphLayers) -> Double {
    let (a, b) = (layers.items[left], layers.items[right])
    if a.node == nil || b.node == nil { return a.half + b.half + 14 }
    let isSibling = a.scope.prefix(2) == b.scope.prefix(2)
    return a.half + b.half + GraphLayout.Space.node + (isSibling ? 0 : 22)
  }

  private mutating func shift(_ items: [Int], _ layers: GraphLayers, to left: Double) {
    guard let first = items.map({ x[$0] - layers.items[$0].half }).min() else { return }
    for item in items { x[item] += left - first }
  }

  /// Leads long ways straight down, left of whatever they pass, and returns their stand-ins.
  private mutating func placeGutter(_ main: [[Int]], _ layers: GraphLayers) -> [Int] {
    var ways: [Int: [Int]] = [:]
    for link in layers.links where layers.items[link.to].inGutter {
      ways[link.value, default: []].append(link.to)
    }
    var taken: [(layers: ClosedRange<Int>, x: Double)] = []
    for (_, way) in ways.sorted(by: { ($0.value.count, $0.key) < ($1.value.count, $1.key) }) {
      guard let first = way.map({ layers.items[$0].layer }).min(),
        let last = way.map({ layers.items[$0].layer }).max()
      else { continue }
      let left = main[first...last].joined().map { x[$0] - layers.items[$0].half }.min() ?? 0
      var column = left - GraphLayout.Space.gutter
      for other in taken where other.layers.overlaps(first...last) {
        column = min(column, other.x - 16)
      }
      for item in way { x[item] = column }
      taken.append((first...last, column))
    }
    return ways.values.flatMap { $0 }
  }

  /// The lane's items stand in one column right of all others, side by side where they share a layer.
  private mutating func placeLane(_ main: [[Int]], _ layers: GraphLayers) {
    let right = main.joined().map { x[$0] + layers.items[$0].half }.max() ?? 0
    let lanes = layers.layers.map { $0.filter { layers.items[$0].inLane } }
    func width(_ items: [Int]) -> Double {
      items.reduce(0) { $0 + 2 * layers.items[$1].half }
        + Double(max(items.count - 1, 0)) * GraphLayout.Space.node
    }
    let middle = right + GraphLayout.Space.lane + 18 + (lanes.map(width).max() ?? 0) / 2
    for items in lanes {
      var left = middle - width(items) / 2
      for item in items {
        x[item] = left + layers.items[item].half
        left += 2 * layers.items[item].half + GraphLayout.Space.node
      }
    }
  }
}
