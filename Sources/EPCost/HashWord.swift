/// Mixes numbers into one word for a `Hasher` to take at once: handed over one by one, they cost more
/// than what is looked up.
struct HashWord {
  private(set) var bits: UInt64 = 0

  /// Mixes in a number; both zeros are the same one.
  @inline(__always)
  mutating func mix(_ number: Double) {
    bits = (bits ^ (number + 0).bitPattern) &* 0x9e37_79b9_7f4a_7c15
    bits ^= bits >> 29
  }
}
