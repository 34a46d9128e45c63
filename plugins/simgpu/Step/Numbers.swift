/// Numbers that C reads and writes in place.
@safe
final class Numbers<Element: BitwiseCopyable>: @unchecked Sendable {
  let count: Int
  let base: UnsafeMutablePointer<Element>

  init(repeating value: Element, count: Int) {
    self.count = count
    unsafe base = UnsafeMutablePointer<Element>.allocate(capacity: max(count, 1))
    unsafe base.initialize(repeating: value, count: max(count, 1))
  }

  convenience init(_ values: [Element], or value: Element) {
    self.init(repeating: value, count: values.count)
    for (index, value) in values.enumerated() { self[index] = value }
  }

  deinit { unsafe base.deallocate() }

  subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "no such number")
      return unsafe base[index]
    }
    set {
      precondition(index >= 0 && index < count, "no such number")
      unsafe base[index] = newValue
    }
  }

  func fill(_ value: Element) { unsafe base.update(repeating: value, count: count) }

  func copy(from other: Numbers<Element>) {
    precondition(other.count == count, "copies are as long")
    unsafe base.update(from: other.base, count: count)
  }

  var array: [Element] { unsafe Array(UnsafeBufferPointer(start: base, count: count)) }
}
