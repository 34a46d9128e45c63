internal import EPJSON

extension PlacementBenchmark {
  private struct Batch {
    var model: String
    var distribution: String
    var ranks: Int
    var replicas: Int
    var tokensPerRank: Int
    var even: Double
    var split: Double
    var swapEven: Double
    var swapSplit: Double
  }

  /// The balance that single batches have, and what splitting each batch brings.
  public mutating func runBatches() throws(PlacementError) {
    let recorded = try read("perbatch.json") { (node: JSONNode) throws(JSONError) -> Batch in
      Batch(
        model: try node["model"].string(), distribution: try node["dist"].string(),
        ranks: try node["gpus"].int(in: 1...100_000),
        replicas: try node["replicas"].int(in: 1...1_000_000),
        tokensPerRank: try node["batch_per_gpu"].int(in: 1...1_000_000),
        even: try node["even"].double(), split: try node["lp"].double(),
        swapEven: try node["swap_even"].double(), swapSplit: try node["swap_lp"].double())
    }
    var table = TextTable(columns: [
      "model", "ranks", "slots", "tokens a rank", "greedy even", "greedy LP", "swap even",
      "swap LP",
      "ours even", "ours weighted", "ours split", "us a split",
    ])
    for item in recorded {
      let loads = try ExpertLoads(file: "\(folder)/loads/\(item.model)_\(item.distribution).csv")
      let shape = try PlacementShape(
        experts: loads.experts, redundant: item.replicas - loads.experts, ranks: item.ranks)
      let placed = try ExpertBalancer(shape: shape, threads: threads).place(loads)
      var random = SeededRandom(seed: 1)
      var sum = BatchBalance(even: 0, weighted: 0, perBatch: 0, roundRobin: 0)
      let layers = stride(from: 0, to: placed.count, by: 6).map { $0 }
      let batches = 8
      for layer in layers {
        // Both models choose 8 experts a token.
        let one = try ExpertBalancer.batchBalance(
          shape: shape, slots: placed[layer].slots, weights: loads.rows[layer],
          tokens: 8 * item.ranks * item.tokensPerRank, batches: batches, random: &random)
        sum.even += one.even / Double(layers.count)
        sum.weighted += one.weighted / Double(layers.count)
        sum.perBatch += one.perBatch / Double(layers.count)
      }
      let split = try TokenSplit(shape: shape, slots: placed[0].slots)
      let tokens = loads.rows[0].map { Int($0) }
      let start = now()
      for _ in 0..<20 { _ = try split.split(tokens: tokens) }
      let micros = (now() - start) / 20 * 1e6
      table.add([
        item.model, "\(item.ranks)", "\(item.replicas)", "\(item.tokensPerRank)",
        fixed(item.even, 4), fixed(item.split, 4), fixed(item.swapEven, 4),
        fixed(item.swapSplit, 4), fixed(sum.even, 4), fixed(sum.weighted, 4),
        fixed(sum.perBatch, 4), fixed(micros, 0),
      ])
    }
    add("Batches: balance of single batches, 8 routed tokens for each token of a rank", table)
  }
}
