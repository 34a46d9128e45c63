import Glibc

/// A line on the terminal that counts up, once a run takes longer than a second.
final class Progress {
  private let total: Int
  private let start = ContinuousClock.now
  private let isShown = isatty(STDERR_FILENO) == 1
  private var hasDrawn = false

  init(total: Int) { self.total = total }

  func show(_ count: Int) {
    guard isShown, start.duration(to: .now) > .seconds(1) else { return }
    hasDrawn = true
    let filled = total > 0 ? min(count * 30 / total, 30) : 30
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
    Terminal.draw("\r[\(bar)] \(count)/\(total) tokens")
  }

  func end() {
    if hasDrawn { Terminal.draw("\r" + String(repeating: " ", count: 60) + "\r") }
  }
}
