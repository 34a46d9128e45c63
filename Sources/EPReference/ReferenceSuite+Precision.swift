public import EPBackendCPU

// How far logits may be off where matrices are not kept as they are.
extension ReferenceSuite {
  /// What `Agreement.relativeError` may be at most for a format.
  public static func bound(of weights: WeightFormat) -> Double {
    switch weights {
    case .fp32: 1e-5
    case .bf16: 0.1
    case .int8: 0.1
    case .fp8: 0.5
    case .mxfp4: 1
    }
  }
}
