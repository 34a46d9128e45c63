internal import CEPKernels

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// What instructions kernels use; each level has all of the former.
public enum CPULevel: String, CaseIterable, Comparable, Sendable {
  /// What any processor has.
  case portable
  /// AVX2 and FMA.
  case avx2
  /// AVX-512 F, BW, DQ and VL.
  case avx512
  /// AVX-512 BF16 and VNNI.
  case vnni
  /// AMX with bf16 and int8 tiles, and AVX-512 VBMI.
  case amx

  /// The highest that this machine has.
  public static let best = CPULevel(epc_level_best())

  /// The level that `EPC_CPU_LEVEL` names, as far as the machine has it, or the best.
  public static let chosen =
    unsafe getenv("EPC_CPU_LEVEL").flatMap { unsafe CPULevel(rawValue: String(cString: $0)) }
    .map { min($0, best) } ?? best

  private init(_ level: epc_level) {
    switch level {
    case EPC_LEVEL_AMX: self = .amx
    case EPC_LEVEL_VNNI: self = .vnni
    case EPC_LEVEL_AVX512: self = .avx512
    case EPC_LEVEL_AVX2: self = .avx2
    default: self = .portable
    }
  }

  var level: epc_level {
    switch self {
    case .portable: return EPC_LEVEL_PORTABLE
    case .avx2: return EPC_LEVEL_AVX2
    case .avx512: return EPC_LEVEL_AVX512
    case .vnni: return EPC_LEVEL_VNNI
    case .amx: return EPC_LEVEL_AMX
    }
  }

  /// From the one that any machine has to the best.
  public static func < (a: CPULevel, b: CPULevel) -> Bool { a.level.rawValue < b.level.rawValue }
}
