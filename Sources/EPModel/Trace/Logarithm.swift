#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

func naturalLogarithm(_ x: Double) -> Double { log(x) }

/// 2 to the power `exponent`.
public func powerOfTwo(_ exponent: Double) -> Double { exp2(exponent) }
