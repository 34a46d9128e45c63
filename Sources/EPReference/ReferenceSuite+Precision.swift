internal import EPBackendCPU

extension ReferenceSuite {
  /// What `Row.bound` is for a format and a family. Rounded formats may be off by one and a half times the
  /// most that any reference case shows; docs/exec.md has the figures.
  static func bound(of weights: WeightFormat, family: String) -> Double {
    switch weights {
    // The references of these families are themselves noisier, by an order of magnitude.
    case .fp32: ["qwen3_next", "qwen3_5_moe"].contains(family) ? 1e-3 : 1e-4
    case .bf16: 0.025
    case .int8: 0.065
    case .fp8: 0.2
    case .mxfp4: 0.4
    }
  }
}
