internal import EPCost
internal import EPModel
internal import Glibc

extension SearchResult {
  /// The front as a picture: tokens a second and device over tokens a second and user.
  public var svg: String {
    let (width, height) = (760.0, 460.0)
    let frame = (left: 76.0, right: 24.0, top: 52.0, bottom: 58.0)
    let points = front.map {
      (user: $0.tokensPerUser, device: $0.yield(problem.objective), deployment: $0)
    }
    let most = (
      user: Self.nice(above: points.reduce(0) { max($0, $1.user) }),
      device: Self.nice(above: points.reduce(0) { max($0, $1.device) })
    )
    func x(_ user: Double) -> Double {
      frame.left + (width - frame.left - frame.right) * user / most.user
    }
    func y(_ device: Double) -> Double {
      height - frame.bottom - (height - frame.top - frame.bottom) * device / most.device
    }
    var svg = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(width))" height="\(Int(height))" \
      viewBox="0 0 \(Int(width)) \(Int(height))" font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#ffffff"/>
      <text x="\(frame.left.text(0))" y="24" font-size="15" fill="#1a1a1a">\
      \(Self.escaped("\(problem.program.name) on \(problem.cluster.name), \(problem.promptLength) + \(problem.outputLength) tokens"))\
      </text>

      """
    for tick in 0...5 {
      let share = Double(tick) / 5
      let (across, up) = (x(most.user * share), y(most.device * share))
      svg += """
        <line x1="\(frame.left.text(1))" x2="\((width - frame.right).text(1))" y1="\(up.text(1))" \
        y2="\(up.text(1))" stroke="#e4e4e4"/>
        <text x="\((frame.left - 8).text(1))" y="\((up + 4).text(1))" text-anchor="end" \
        fill="#555555">\(Self.label(most.device * share))</text>
        <text x="\(across.text(1))" y="\((height - frame.bottom + 18).text(1))" \
        text-anchor="middle" fill="#555555">\(Self.label(most.user * share))</text>

        """
    }
    svg += """
      <text x="\(((frame.left + width - frame.right) / 2).text(1))" y="\((height - 16).text(1))" \
      text-anchor="middle" fill="#1a1a1a">tokens/s for a user</text>
      <text transform="translate(20 \((height / 2).text(1))) rotate(-90)" text-anchor="middle" \
      fill="#1a1a1a">tokens/s for a GPU</text>

      """
    let limit = 1 / problem.timePerToken
    if limit > 0 && limit <= most.user {
      // The front falls from left to right: below it on the left, above it on the right is room.
      let isLeft = limit < most.user / 2
      svg += """
        <line x1="\(x(limit).text(1))" x2="\(x(limit).text(1))" y1="\(frame.top.text(1))" \
        y2="\((height - frame.bottom).text(1))" stroke="#999999" stroke-dasharray="5 4"/>
        <text x="\((x(limit) + (isLeft ? 5 : -5)).text(1))" \
        y="\((isLeft ? height - frame.bottom - 8 : frame.top + 12).text(1))" \
        text-anchor="\(isLeft ? "start" : "end")" fill="#666666">\
        \((problem.timePerToken * 1e3).text(limit > 100 ? 1 : 0)) ms a token</text>

        """
    }
    let line = points.map { "\(x($0.user).text(1)),\(y($0.device).text(1))" }
    svg += """
      <polyline points="\(line.joined(separator: " "))" fill="none" stroke="#b5b5b5" \
      stroke-width="1.5"/>

      """
    for point in points {
      let isApart = point.deployment.prefill != nil
      svg += """
        <circle cx="\(x(point.user).text(1))" cy="\(y(point.device).text(1))" r="4" \
        fill="\(isApart ? "#2166ac" : "#d6604d")"><title>\(Self.escaped(point.deployment.decode.label))\
        </title></circle>

        """
    }
    if let chosen = best.first {
      svg += """
        <circle cx="\(x(chosen.tokensPerUser).text(1))" cy="\(y(chosen.yield(problem.objective)).text(1))" r="8" \
        fill="none" stroke="#1a1a1a" stroke-width="1.5"/>

        """
    }
    for (index, entry) in [
      ("#2166ac", "prefill and decode apart"), ("#d6604d", "one pool"),
    ].enumerated() {
      let left = width - frame.right - 190 * Double(2 - index) + 20
      svg += """
        <circle cx="\(left.text(1))" cy="36" r="4" fill="\(entry.0)"/>
        <text x="\((left + 9).text(1))" y="40" fill="#1a1a1a">\(entry.1)</text>

        """
    }
    return svg + "</svg>\n"
  }

  /// The least round number that is not below a number: 1 to 10, times a power of ten.
  private static func nice(above number: Double) -> Double {
    if !(number > 0) { return 1 }
    let power = pow(10, log10(number).rounded(.down))
    return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].first { $0 * power >= number * 0.999 }.map {
      $0 * power
    }
      ?? 10 * power
  }

  private static func label(_ number: Double) -> String {
    if number >= 100_000 { return "\((number / 1000).text(0)) k" }
    return number.rounded() == number || number >= 100 ? number.text(0) : number.text(1)
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}
