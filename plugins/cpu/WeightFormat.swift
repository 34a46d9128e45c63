internal import CEPKernels
public import EPModel

/// How matrices are kept in memory; sums are fp32 whatever it is.
public enum WeightFormat: String, CaseIterable, Sendable {
  /// 32-bit floats, multiplied with activations of 32 bits.
  case fp32
  /// bf16, multiplied with activations rounded to bf16.
  case bf16
  /// Whole numbers of 8 bits with a scale for every 128 inputs of an output, multiplied with
  /// activations of 16 bits.
  case int8
  /// 8-bit floats (e4m3, those below 2^-6 rounded to 0 or 2^-6) with scales as `int8`, multiplied
  /// with activations rounded to bf16.
  case fp8
  /// The OCP microscaling format for experts, bf16 for everything else; activations as for `int8`, or
  /// rounded to bf16 where there are tiles.
  case mxfp4

  var format: epc_format {
    switch self {
    case .fp32: return EPC_FORMAT_F32
    case .bf16: return EPC_FORMAT_BF16
    case .int8: return EPC_FORMAT_INT8
    case .fp8: return EPC_FORMAT_FP8
    case .mxfp4: return EPC_FORMAT_MXFP4
    }
  }

  /// The format of a weight that is for this. Routers decide by small differences and stay fp32.
  func format(of role: WeightDeclaration.Role?) -> WeightFormat {
    switch role {
    case .expert: return self
    case .linear, .embedding: return self == .mxfp4 ? .bf16 : self
    case .router, .vector, .constant, nil: return .fp32
    }
  }
}

extension WeightFormat {
  /// Bytes of an element of a large matrix that is for this, scales included.
  public func bytesPerElement(of role: WeightDeclaration.Role) -> Double {
    switch format(of: role) {
    case .fp32: return 4
    case .bf16: return 2
    case .int8, .fp8: return 132.0 / 128
    case .mxfp4: return 68.0 / 128
    }
  }
}
