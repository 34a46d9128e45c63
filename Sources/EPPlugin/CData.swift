internal import Glibc

/// Memory for plain C data, freed all at once.
@safe
final class CData: @unchecked Sendable {
  private var blocks: [UnsafeMutableRawPointer] = unsafe []

  deinit {
    while let block = unsafe blocks.popLast() { unsafe block.deallocate() }
  }

  /// A copy of a value.
  func make<T: BitwiseCopyable>(_ value: T) -> UnsafePointer<T> {
    let place = UnsafeMutablePointer<T>.allocate(capacity: 1)
    unsafe place.initialize(to: value)
    unsafe blocks.append(UnsafeMutableRawPointer(place))
    return unsafe UnsafePointer(place)
  }

  /// A copy of a list; NULL where it is empty.
  func array<T: BitwiseCopyable>(_ values: [T]) -> UnsafePointer<T>? {
    if values.isEmpty { return nil }
    let place = UnsafeMutablePointer<T>.allocate(capacity: values.count)
    for (index, value) in values.enumerated() {
      unsafe (place + index).initialize(to: value)
    }
    unsafe blocks.append(UnsafeMutableRawPointer(place))
    return unsafe UnsafePointer(place)
  }

  /// A list of places, each of which may be NULL.
  func pointers<T>(_ values: [UnsafePointer<T>?]) -> UnsafePointer<UnsafePointer<T>?>? {
    unsafe array(values)
  }

  /// A copy of a text that ends with a zero.
  func text(_ text: String) -> UnsafePointer<CChar> {
    var bytes = text.utf8.map { CChar(bitPattern: $0) }
    bytes.append(0)
    let place = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { unsafe (place + index).initialize(to: byte) }
    unsafe blocks.append(UnsafeMutableRawPointer(place))
    return unsafe UnsafePointer(place)
  }
}
