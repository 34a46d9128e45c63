internal import EPIR
internal import EPModel
internal import EPPlan

// What each engine refuses, or does otherwise than the plan.
extension Preflight {
  mutating func checkEngine(_ shape: PoolShape) {
    switch engine {
    case .sglang: checkSGLang(shape)
    case .vllm: checkVLLM(shape)
    case .trtllm: checkTensorRTLLM(shape)
    }
  }

  private mutating func checkSGLang(_ shape: PoolShape) {
    if shape.drafts > 0 && shape.pp > 1 {
      add(
        "drafts", shape, "MTP over \(shape.pp) pipeline stages",
        shape.role == .prefill
          ? nil
          : "SGLang drafts over pipeline stages in prefill only; take '--mtp 0' or '--pp 1'")
    }
    if shape.experts > 0 && shape.redundant > 0 && shape.ep == 1 {
      add(
        "replicas", shape, "\(shape.redundant) redundant experts on one expert rank",
        "SGLang balances experts over at least 2 expert ranks; take '--redundant-experts 0'")
    }
  }

  private mutating func checkVLLM(_ shape: PoolShape) {
    guard shape.experts > 0 else { return }
    let isSplit = !shape.holdsWholeExperts && shape.ep > 1
    add(
      "expert-ranks", shape,
      shape.ep == shape.stageRanks
        ? "experts over all \(shape.ep) ranks of a stage"
        : "experts over \(shape.ep) of \(shape.stageRanks) ranks of a stage",
      isSplit
        ? "vLLM holds experts whole on tp x dp ranks, or splits each over them; ep \(shape.ep) with "
          + "tp \(shape.tp) does both; take '--ep \(shape.stageRanks)'" : nil)
    if shape.redundant > 0 && shape.ep == 1 {
      add(
        "replicas", shape, "\(shape.redundant) redundant experts on one expert rank",
        "vLLM balances experts over at least 2 ranks; take '--redundant-experts 0'")
    }
  }

  private mutating func checkTensorRTLLM(_ shape: PoolShape) {
    guard shape.experts > 0 else { return }
    let isMixed = shape.tp > 1 && shape.dp > 1
    add(
      "attention", shape,
      "attention over \(shape.dp) data groups of \(shape.tp)",
      isMixed
        ? "TensorRT-LLM has attention either data-parallel or tensor-parallel over all ranks, not "
          + "dp \(shape.dp) with tp \(shape.tp); take '--tp 1'" : nil)
  }
}
