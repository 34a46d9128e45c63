internal import Glibc

/// How often a test tries something: the number in an environment variable, or the default.
public func testCount(_ variable: String, default count: Int) -> Int {
  guard let text = unsafe getenv(variable) else { return count }
  return unsafe Int(String(cString: text)) ?? count
}
