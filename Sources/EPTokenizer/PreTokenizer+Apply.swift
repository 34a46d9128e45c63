extension PreTokenizer {
  /// Splits the pieces further.
  ///
  /// - Parameter isStart: whether the first piece is the start of the whole text.
  func apply(_ pieces: [[Unicode.Scalar]], isStart: Bool) -> [[Unicode.Scalar]] {
    switch self {
    case .split(let rules):
      return pieces.flatMap { Self.split($0, rules) }
    case .bytes(let addsSpace):
      return pieces.map { piece in
        addsSpace && piece.first != " " ? [" "] + piece : piece
      }
    case .metaspace(let letter, let prepend, let split):
      return pieces.enumerated().flatMap { index, piece in
        var piece = piece.map { $0 == " " ? letter : $0 }
        let isWanted = prepend == .always || prepend == .first && isStart && index == 0
        if isWanted && piece.first != letter { piece.insert(letter, at: 0) }
        return split ? Self.split(piece, before: letter) : [piece]
      }
    }
  }

  private static func split(
    _ text: [Unicode.Scalar], _ rules: [SplitRule]
  ) -> [[Unicode.Scalar]] {
    var pieces: [[Unicode.Scalar]] = []
    var gap = 0
    var place = 0
    while place < text.count {
      guard let end = rules.lazy.compactMap({ $0.match(text, at: place) }).first else {
        place += 1
        continue
      }
      if gap < place { pieces.append(Array(text[gap..<place])) }
      pieces.append(Array(text[place..<end]))
      place = end
      gap = end
    }
    if gap < text.count { pieces.append(Array(text[gap...])) }
    return pieces
  }

  private static func split(
    _ text: [Unicode.Scalar], before letter: Unicode.Scalar
  ) -> [[Unicode.Scalar]] {
    var pieces: [[Unicode.Scalar]] = []
    for scalar in text {
      if scalar == letter || pieces.isEmpty { pieces.append([]) }
      pieces[pieces.count - 1].append(scalar)
    }
    return pieces
  }

  /// Whether this step makes the model see bytes.
  var isByteLevel: Bool {
    switch self {
    case .bytes: true
    case .split, .metaspace: false
    }
  }
}
