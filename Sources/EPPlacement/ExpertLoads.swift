/// Tokens routed to each logical expert of each layer.
public struct ExpertLoads: Hashable, Sendable {
  /// A row of tokens for each layer, one number an expert. All rows are equally long.
  public private(set) var rows: [[Double]]
  /// The model's number of each layer, ascending: layers without experts are left out.
  public private(set) var layers: [Int]

  /// Makes loads from rows; layers are numbered from `firstLayer`.
  public init(rows: [[Double]], firstLayer: Int = 0) throws(PlacementError) {
    let layers = Array(firstLayer..<(firstLayer + rows.count))
    try self.init(rows: rows, layers: layers)
  }

  /// Makes loads from rows for the given layers.
  public init(rows: [[Double]], layers: [Int]) throws(PlacementError) {
    guard let first = rows.first, !first.isEmpty else { throw .shape("there are no loads") }
    guard layers.count == rows.count else {
      throw .shape("\(rows.count) rows of loads for \(layers.count) layers")
    }
    for (index, layer) in layers.enumerated()
    where layer < 0 || index > 0 && layer <= layers[index - 1] {
      throw .shape("layer \(layer) is out of order")
    }
    for (index, row) in rows.enumerated() {
      guard row.count == first.count else {
        throw .shape("row \(index) has \(row.count) experts, the first has \(first.count)")
      }
      guard row.allSatisfy({ $0 >= 0 && $0 <= 1e15 }) else {
        throw .shape("row \(index) has a load that is negative, too large or not a number")
      }
    }
    self.rows = rows
    self.layers = layers
  }

  /// Logical experts of a layer.
  public var experts: Int { rows.first?.count ?? 0 }

  /// The tokens of each expert of the model's layer of that number, if there are any.
  public func row(ofLayer layer: Int) -> [Double]? {
    layers.firstIndex(of: layer).map { rows[$0] }
  }

  /// The same loads with no expert above a token in each of `topK`: a token chooses it once. What is over goes
  /// to the others in proportion.
  public func feasible(topK: Int) -> ExpertLoads {
    var loads = self
    for layer in rows.indices {
      let most = rows[layer].reduce(0, +) / Double(max(topK, 1))
      // Each round caps another expert, or is the last.
      while loads.rows[layer].contains(where: { $0 > most * 1.000_001 }) {
        let row = loads.rows[layer]
        let full = row.filter { $0 >= most }
        let rest = row.reduce(0) { $0 + ($1 < most ? $1 : 0) }
        if rest <= 0 { break }
        let factor = (most * Double(topK - full.count)) / rest
        loads.rows[layer] = row.map { $0 >= most ? most : $0 * factor }
      }
    }
    return loads
  }

  /// The loads of all layers together, for one placement that serves them all.
  public var sum: [Double] {
    var sum = Array(repeating: 0.0, count: experts)
    for row in rows { for (expert, load) in row.enumerated() { sum[expert] += load } }
    return sum
  }
}
