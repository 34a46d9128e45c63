import CEPCheckpoint

/// The type of a tensor's elements, under the name that safetensors files use for it.
public enum ElementType: String, Hashable, Sendable, CaseIterable {
  case bool = "BOOL"
  case complex64 = "C64"
  case float4 = "F4"
  case float6E2M3 = "F6_E2M3"
  case float6E3M2 = "F6_E3M2"
  case float8E4M3 = "F8_E4M3"
  case float8E4M3FNUZ = "F8_E4M3FNUZ"
  case float8E5M2 = "F8_E5M2"
  case float8E5M2FNUZ = "F8_E5M2FNUZ"
  case float8E8M0 = "F8_E8M0"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float32 = "F32"
  case float64 = "F64"
  case int8 = "I8"
  case int16 = "I16"
  case int32 = "I32"
  case int64 = "I64"
  case uint8 = "U8"
  case uint16 = "U16"
  case uint32 = "U32"
  case uint64 = "U64"

  /// The bits of one element; a tensor of smaller than byte-sized elements is packed.
  public var bits: Int {
    switch self {
    case .float4: 4
    case .float6E2M3, .float6E3M2: 6
    case .bool, .int8, .uint8, .float8E4M3, .float8E4M3FNUZ, .float8E5M2, .float8E5M2FNUZ,
      .float8E8M0:
      8
    case .int16, .uint16, .float16, .bfloat16: 16
    case .int32, .uint32, .float32: 32
    case .int64, .uint64, .float64, .complex64: 64
    }
  }

  /// The conversion to float32, nil for types whose elements are not weights by themselves.
  ///
  /// Integers are left out on purpose: as a weight they are packed or quantised, and reading them
  /// as numbers would go wrong without a word.
  var conversion: epc_element? {
    switch self {
    case .float64: EPC_ELEMENT_F64
    case .float32: EPC_ELEMENT_F32
    case .float16: EPC_ELEMENT_F16
    case .bfloat16: EPC_ELEMENT_BF16
    case .float8E4M3: EPC_ELEMENT_F8_E4M3
    case .float8E5M2: EPC_ELEMENT_F8_E5M2
    case .float8E8M0: EPC_ELEMENT_F8_E8M0
    case .bool, .complex64, .float4, .float6E2M3, .float6E3M2, .float8E4M3FNUZ, .float8E5M2FNUZ,
      .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64:
      nil
    }
  }

  /// Whether the elements need a scale per block, kept in a tensor of its own, to mean anything.
  var isScaled: Bool { self == .float8E4M3 || self == .float8E5M2 }
}
