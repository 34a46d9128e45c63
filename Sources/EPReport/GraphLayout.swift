internal import EPPlan

/// Where the parts of a picture stand, in pixels from the top left.
///
/// Layered drawing after Sugiyama, Tagawa and Toda (1981): a node's layer is the longest path to it,
/// barycenters order each layer, and positions minimise the bend of edges. Operations of the
/// communication stream stand in a lane of their own at the right.
struct GraphLayout {
  /// A rectangle.
  struct Box: Hashable {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    var right: Double { x + width }
    var bottom: Double { y + height }
    var middle: Double { x + width / 2 }

    /// Whether two rectangles share more than an edge.
    func overlaps(_ other: Box) -> Bool {
      x < other.right && other.x < right && y < other.bottom && other.y < bottom
    }

    /// Whether another rectangle is inside.
    func contains(_ other: Box) -> Bool {
      x <= other.x && other.right <= right && y <= other.y && other.bottom <= bottom
    }
  }

  /// The frame around the operations of a module.
  struct Cluster {
    var name: String
    var depth: Int
    var box: Box
  }

  /// The type of a value below the node that defines it.
  struct Label {
    var value: Int
    var text: String
    var x: Double
    var y: Double
    var width: Double
  }

  /// One stretch of a value's way.
  struct Stretch {
    var value: Int
    var from: (x: Double, y: Double)
    var to: (x: Double, y: Double)
    /// Pixels straight down before it bends: the way past the label where it leaves a node.
    var stem: Double
    /// Where a bend must end and a straight line through the layer begin, if it passes on.
    var passesTo: Double?
    /// Whether it ends at a node that reads the value.
    var isLast: Bool
    /// Whether it begins or ends at an operation of the communication stream.
    var isCommunication: Bool
  }

  /// Pixels that the layout keeps between things.
  enum Space {
    static let margin = 28.0
    static let header = 62.0
    static let label = 17.0
    static let layer = 62.0
    static let node = 30.0
    static let lane = 46.0
    static let gutter = 40.0
  }

  /// The picture's size.
  private(set) var size: (width: Double, height: Double) = (0, 0)
  /// The box of every node.
  private(set) var boxes: [Box] = []
  /// Frames, outer ones first.
  private(set) var clusters: [Cluster] = []
  /// The types of values.
  private(set) var labels: [Label] = []
  /// The ways of values.
  private(set) var stretches: [Stretch] = []
  /// The lane of the communication stream, if anything runs there.
  private(set) var lane: Box?

  /// Lays a graph out; `footer` pixels stay free below it.
  init(_ graph: PlanGraph, minimumWidth: Double, footer: Double) {
    var layers = GraphLayers(graph)
    layers.order()
    let positions = GraphPositions(layers)
    place(graph, layers, positions)
    frame(graph)
    let right = max((boxes + clusters.map(\.box)).map(\.right).max() ?? 0, lane?.right ?? 0)
    size.width = max(right + Space.margin, minimumWidth)
    size.height = (boxes.map(\.bottom).max() ?? 0) + Space.label + Space.margin + footer
  }

  private mutating func place(
    _ graph: PlanGraph, _ layers: GraphLayers, _ positions: GraphPositions
  ) {
    var top = Space.header + Space.margin
    var tops: [Double] = []
    var heights: [Double] = []
    for items in layers.layers {
      let height =
        items.compactMap { layers.items[$0].node }.map { GraphMetrics.height(of: graph.nodes[$0]) }
        .max() ?? 0
      tops.append(top)
      heights.append(height)
      top += height + Space.layer
    }
    boxes = Array(repeating: Box(x: 0, y: 0, width: 0, height: 0), count: graph.nodes.count)
    for (index, item) in layers.items.enumerated() {
      guard let node = item.node else { continue }
      let width = GraphMetrics.width(of: graph.nodes[node])
      let height = GraphMetrics.height(of: graph.nodes[node])
      boxes[node] = Box(
        x: (positions.x[index] - width / 2).rounded(),
        y: tops[item.layer] + ((heights[item.layer] - height) / 2).rounded(), width: width,
        height: height)
    }
    let inLane = graph.nodes.indices.filter { graph.nodes[$0].stream == .communication }
    if let left = inLane.map({ boxes[$0].x }).min(),
      let right = inLane.map({ boxes[$0].right }).max()
    {
      let bottom = (boxes.map(\.bottom).max() ?? 0) + Space.label + 8
      let widest = inLane.map { GraphMetrics.labelsWidth(of: graph.nodes[$0], graph) }.max() ?? 0
      let extra = max((widest - (right - left)) / 2, 0)
      lane = Box(
        x: left - extra - 18, y: Space.header, width: right - left + 2 * extra + 36,
        height: bottom - Space.header)
    }
    route(graph, layers, positions, tops: tops, heights: heights)
  }

  /// Where each value leaves its node.
  private func exits(_ graph: PlanGraph, _ node: Int) -> [Int: (x: Double, width: Double)] {
    let results = graph.nodes[node].results
    let widths = results.map { GraphMetrics.labelWidth(of: graph.types[$0]) }
    var x = boxes[node].middle - (widths.reduce(0, +) + Double(results.count - 1) * 14) / 2
    var exits: [Int: (x: Double, width: Double)] = [:]
    for (result, width) in zip(results, widths) {
      exits[result] = (x + width / 2, width)
      x += width + 14
    }
    return exits
  }

  private mutating func route(
    _ graph: PlanGraph, _ layers: GraphLayers, _ positions: GraphPositions, tops: [Double],
    heights: [Double]
  ) {
    var exit: [Int: (x: Double, width: Double)] = [:]
    for node in graph.nodes.indices {
      for (value, place) in exits(graph, node) { exit[value] = place }
      for value in graph.nodes[node].results {
        guard let place = exit[value] else { continue }
        labels.append(
          Label(
            value: value, text: OpLabel.text(of: graph.types[value]), x: place.x,
            y: boxes[node].bottom + Space.label - 5, width: place.width))
      }
    }
    func start(_ link: GraphLayers.Link) -> (x: Double, y: Double) {
      let item = layers.items[link.from]
      if let node = item.node {
        return (exit[link.value]?.x ?? boxes[node].middle, boxes[node].bottom + Space.label)
      }
      return (positions.x[link.from], tops[item.layer] + heights[item.layer] + Space.label)
    }
    // Entries of a node lie side by side, in the order their edges come from.
    var entries: [Int: [Int]] = [:]
    for (number, link) in layers.links.enumerated() where layers.items[link.to].node != nil {
      entries[link.to, default: []].append(number)
    }
    var entry: [Int: Double] = [:]
    for (item, links) in entries {
      guard let node = layers.items[item].node else { continue }
      let sorted = links.sorted {
        (start(layers.links[$0]).x, $0) < (start(layers.links[$1]).x, $1)
      }
      let step = min(22, boxes[node].width / Double(sorted.count + 1))
      for (position, number) in sorted.enumerated() {
        entry[number] =
          boxes[node].middle + (Double(position) - Double(sorted.count - 1) / 2) * step
      }
    }
    for (number, link) in layers.links.enumerated() {
      let (source, target) = (layers.items[link.from], layers.items[link.to])
      let isCommunication = [source.node, target.node].contains { node in
        node.map { graph.nodes[$0].stream == .communication } ?? false
      }
      let to: (x: Double, y: Double)
      if let node = target.node {
        to = (entry[number] ?? boxes[node].middle, boxes[node].y)
      } else {
        to = (positions.x[link.to], tops[target.layer])
      }
      stretches.append(
        Stretch(
          value: link.value, from: start(link), to: to,
          stem: source.node == nil ? 0 : Space.label,
          passesTo: target.node == nil
            ? tops[target.layer] + heights[target.layer] + Space.label : nil,
          isLast: target.node != nil, isCommunication: isCommunication))
    }
  }

  /// Draws frames around modules wherever a frame holds nothing else.
  private mutating func frame(_ graph: PlanGraph) {
    var members: [[String]: [Int]] = [:]
    for (index, node) in graph.nodes.enumerated() where node.stream == .compute {
      for depth in 1...2 where node.scope.count >= depth {
        members[Array(node.scope.prefix(depth)), default: []].append(index)
      }
    }
    let scopes = members.keys.sorted {
      ($0.count, members[$0]?.first ?? 0) < ($1.count, members[$1]?.first ?? 0)
    }
    for scope in scopes {
      guard let inside = members[scope], inside.count > 1 else { continue }
      let depth = scope.count
      let pad: (side: Double, top: Double, bottom: Double) =
        depth == 1 ? (20, 24, 26) : (10, 17, 21)
      let extents = inside.map { node in
        let half =
          max(boxes[node].width, GraphMetrics.labelsWidth(of: graph.nodes[node], graph)) / 2
        return (boxes[node].middle - half, boxes[node].middle + half)
      }
      let left = (extents.map(\.0).min() ?? 0) - pad.side
      let right = (extents.map(\.1).max() ?? 0) + pad.side
      let top = (inside.map { boxes[$0].y }.min() ?? 0) - pad.top
      let bottom = (inside.map { boxes[$0].bottom }.max() ?? 0) + pad.bottom
      let box = Box(x: left, y: top, width: right - left, height: bottom - top)
      let isClean = boxes.indices.allSatisfy { inside.contains($0) || !boxes[$0].overlaps(box) }
      let nests = clusters.allSatisfy { !$0.box.overlaps(box) || $0.box.contains(box) }
      if isClean && nests && box.x > 0 {
        clusters.append(Cluster(name: scope[depth - 1], depth: depth, box: box))
      }
    }
  }
}
