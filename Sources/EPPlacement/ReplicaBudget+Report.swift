public import EPModel

extension ReplicaBudget {
  /// Mean balance of the layers with a number of slots each.
  public var layersBalance: Double {
    layers.reduce(0) { $0 + $1.balance } / Double(max(layers.count, 1))
  }

  /// Tables for people: the same slots in all layers, then each layer's own.
  public var text: String {
    var table = TextTable(columns: [
      "", "slots a rank", "redundant", "GiB a rank", "balance", "bound", "gain a GiB",
    ])
    for (index, row) in rows.enumerated() {
      table.add([
        index == chosen ? "chosen" : "", "\(row.slotsPerRank)", "\(row.redundant)",
        gibibytes(row.bytesPerRank), fixed(row.balance, 4), fixed(row.balanceBound, 4),
        index == 0 ? "-" : fixed(row.gainPerGiB, 4),
      ])
    }
    var text = table.text
    text +=
      "\nif layers could differ, within the memory of the choice: balance \(fixed(layersBalance, 4)) "
      + "with \(gibibytes(layersBytesPerRank)) GiB a rank\n"
    var own = TextTable(columns: [
      "layers", "slots a rank", "balance", "gain a GiB", "of more",
    ])
    for slots in Set(layers.map(\.slotsPerRank)).sorted() {
      let some = layers.filter { $0.slotsPerRank == slots }
      func mean(_ value: KeyPath<Layer, Double>) -> Double {
        some.reduce(0) { $0 + $1[keyPath: value] } / Double(some.count)
      }
      own.add([
        "\(some.count)", "\(slots)", fixed(mean(\.balance), 4), fixed(mean(\.lastGainPerGiB), 3),
        fixed(mean(\.nextGainPerGiB), 3),
      ])
    }
    return text + own.text
  }

  /// The same for programs.
  public var document: Document {
    .object([
      "chosen": .int(chosen),
      "rows": .list(
        rows.map { row in
          .object([
            "slots_per_rank": .int(row.slotsPerRank), "redundant": .int(row.redundant),
            "bytes_per_rank": .int(row.bytesPerRank), "balance": .real(row.balance),
            "bound": .real(row.balanceBound), "gain_per_gib": .real(row.gainPerGiB),
          ])
        }),
      "layers_bytes_per_rank": .int(layersBytesPerRank),
      "layers": .list(
        layers.map { layer in
          .object([
            "layer": .int(layer.layer), "slots_per_rank": .int(layer.slotsPerRank),
            "balance": .real(layer.balance), "last_gain_per_gib": .real(layer.lastGainPerGiB),
            "next_gain_per_gib": .real(layer.nextGainPerGiB),
          ])
        }),
    ])
  }
}
