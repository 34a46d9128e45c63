import Glibc

/// The natural logarithm of a positive number.
func naturalLogarithm(_ x: Double) -> Double { log(x) }

/// `e` to the power of `x`.
func exponential(_ x: Double) -> Double { exp(x) }

/// `x` to the power of `y`, for a positive `x`.
func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }

/// Seconds since some fixed moment, for measuring.
func now() -> Double {
  var time = timespec()
  unsafe _ = clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Seconds of processor time that the process has used, on all its threads.
func processorTime() -> Double {
  var time = timespec()
  unsafe _ = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
