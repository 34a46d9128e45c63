import EPJSON

extension BytePairModel {
  /// The most tokens a vocabulary can have.
  static let maximumTokens = 1 << 24

  /// Reads a `model` element.
  init(_ node: JSONNode) throws(LoadFault) {
    // Old files leave the type out.
    if let type = try node.member("type") {
      let name = try type.load { node throws(JSONError) in try node.string() }
      guard name == "BPE" else { throw type.unsupported("the model '\(name)'") }
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = try node.member(key),
        try !affix.load({ node throws(JSONError) in try node.string() }).isEmpty
      {
        throw affix.unsupported("an affix of subwords")
      }
    }
    if let dropout = try node.member("dropout"),
      try dropout.load({ node throws(JSONError) in try node.double() }) != 0
    {
      throw dropout.unsupported("dropout")
    }
    let ids = try Self.vocabulary(node)
    self.ids = ids
    self.merges = try Self.merges(node, ids)
    self.fusesUnknown = try node.flag("fuse_unk", missing: false)
    self.prefersWholePieces = try node.flag("ignore_merges", missing: false)
    if let unknown = try node.member("unk_token") {
      self.unknown = try unknown.load { node throws(JSONError) in
        guard let id = ids[TokenText(try node.string())] else {
          throw node.fail("the unknown token is not in the vocabulary")
        }
        return id
      }
    } else {
      self.unknown = nil
    }
    guard try node.flag("byte_fallback", missing: false) else {
      self.byteTokens = nil
      return
    }
    let byteTokens = (0..<256).compactMap { ids[TokenText(ByteFallback.token(UInt8($0)))] }
    guard byteTokens.count == 256 else {
      throw node.unsupported("byte fallback without a token for every byte")
    }
    self.byteTokens = byteTokens
  }

  private static func vocabulary(_ node: JSONNode) throws(LoadFault) -> [TokenText: Int] {
    try node.load { node throws(JSONError) in
      var ids: [TokenText: Int] = [:]
      for (text, id) in try node["vocab"].entries {
        ids[TokenText(text)] = try id.int(in: 0...maximumTokens)
      }
      return ids
    }
  }

  /// The merges, as `"a b"` or as `["a", "b"]`.
  private static func merges(
    _ node: JSONNode, _ ids: [TokenText: Int]
  ) throws(LoadFault) -> [Pair: Merge] {
    try node.load { node throws(JSONError) in
      var merges: [Pair: Merge] = [:]
      for (rank, entry) in try node["merges"].array().enumerated() {
        let parts: [[UInt8]]
        if case .string(let text) = entry.value {
          parts = text.utf8.split(separator: UInt8(ascii: " ")).map(Array.init)
        } else {
          parts = try entry.array(maxCount: 2).map { part throws(JSONError) in
            Array(try part.string().utf8)
          }
        }
        guard parts.count == 2 else { throw entry.fail("expected two tokens") }
        guard let left = ids[TokenText(parts[0])], let right = ids[TokenText(parts[1])],
          let id = ids[TokenText(parts[0] + parts[1])]
        else { throw entry.fail("the merge needs a token that is not in the vocabulary") }
        merges[Pair(left: left, right: right)] = Merge(rank: rank, id: id)
      }
      return merges
    }
  }
}

/// The names of the tokens that stand for single bytes.
enum ByteFallback {
  /// The token of a byte, such as `<0x0A>`.
  static func token(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
  }

  /// The byte of a token, nil if it is not one of those.
  static func byte(_ token: String) -> UInt8? {
    guard token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">") else { return nil }
    return UInt8(token.dropFirst(3).dropLast(), radix: 16)
  }
}
