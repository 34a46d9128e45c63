import EPJSON

/// The tokenizer of a Hugging Face checkpoint: text to token ids and back.
///
/// Byte-level and SentencePiece-style byte-pair vocabularies are read from `tokenizer.json`; a
/// file that asks for anything else is refused by name, never approximated.
public struct Tokenizer: Sendable {
  private let model: BytePairModel
  private let added: AddedTokens
  private let normalizers: [Normalizer]
  private let preTokenizers: [PreTokenizer]
  private let postProcessor: PostProcessor
  private let decoders: [Decoder]
  /// The text of each token, nil for an id that is not given away.
  private let texts: [[UInt8]?]
  private let special: Set<Int>
  private let isByteLevel: Bool

  /// Reads a `tokenizer.json` file.
  ///
  /// - Throws: `TokenizerError` if the file cannot be read, is malformed, or asks for a component
  ///   or a pattern that is not supported.
  public init(file: String) throws(TokenizerError) {
    let document: JSONValue
    do throws(JSONError) {
      document = try JSONValue.parse(bytes: try JSONFile.read(file))
    } catch {
      throw .malformed(file: file, problem: error.description)
    }
    do throws(LoadFault) {
      try self.init(JSONNode(document))
    } catch {
      throw error.error(in: file)
    }
  }

  init(_ node: JSONNode) throws(LoadFault) {
    let model = try BytePairModel(try node.load { node throws(JSONError) in try node["model"] })
    normalizers = try Normalizer.load(try node.member("normalizer"))
    preTokenizers = try PreTokenizer.load(try node.member("pre_tokenizer"))
    postProcessor = try PostProcessor(try node.member("post_processor"))
    decoders = try Decoder.load(try node.member("decoder"))
    added = try AddedTokens(try node.member("added_tokens"), normalizers: normalizers)
    isByteLevel = preTokenizers.contains(where: \.isByteLevel)
    let largest = max(model.ids.values.max() ?? -1, added.tokens.map(\.id).max() ?? -1)
    var texts = [[UInt8]?](repeating: nil, count: largest + 1)
    for (text, id) in model.ids { texts[id] = text.bytes }
    for token in added.tokens { texts[token.id] = Array(token.content.utf8) }
    self.texts = texts
    self.special = Set(added.tokens.lazy.filter(\.isSpecial).map(\.id))
    self.model = model
  }

  /// One more than the largest token id.
  public var vocabularySize: Int { texts.count }

  /// The id of the token with exactly this text, as the file spells it.
  public func id(of token: String) -> Int? {
    added.tokens.last { Array($0.content.utf8) == Array(token.utf8) }?.id
      ?? model.ids[TokenText(token)]
  }

  /// The token ids of a text.
  ///
  /// - Parameter addingSpecialTokens: whether to add what the file puts around a text, such as
  ///   the token that begins a sequence. Special tokens in the text itself are always found.
  public func encode(_ text: String, addingSpecialTokens: Bool = true) -> [Int] {
    var ids = addingSpecialTokens ? postProcessor.before : []
    var isStart = true
    for part in added.split(Array(text.unicodeScalars)) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let text):
        for piece in pieces(of: text, isStart: isStart) { ids += model.encode(piece) }
      }
      isStart = false
    }
    return addingSpecialTokens ? ids + postProcessor.after : ids
  }

  /// The text of tokens; bytes that are not UTF-8 show as U+FFFD.
  ///
  /// - Throws: `TokenizerError.unknownID` for an id that no token has.
  public func decode(
    _ ids: [Int], skippingSpecialTokens: Bool = true
  ) throws(TokenizerError) -> String {
    var tokens: [[UInt8]] = []
    for id in ids {
      guard texts.indices.contains(id), let text = texts[id] else { throw .unknownID(id) }
      if !(skippingSpecialTokens && special.contains(id)) { tokens.append(text) }
    }
    let decoded = decoders.reduce(tokens) { $1.apply($0) }
    // Without a decoder tokens are words.
    let separator = decoders.isEmpty ? [UInt8(ascii: " ")] : []
    return String(decoding: Array(decoded.joined(separator: separator)), as: UTF8.self)
  }

  /// The pieces of a text, in the letters of the vocabulary, within which tokens are merged.
  func pieces(of text: [Unicode.Scalar], isStart: Bool) -> [[Unicode.Scalar]] {
    let normalized = normalizers.reduce(text) { $1.apply($0) }
    let pieces = preTokenizers.reduce([normalized]) { $1.apply($0, isStart: isStart) }
    return isByteLevel ? pieces.map(Self.letters) : pieces
  }

  /// The bytes of a piece as letters of the vocabulary.
  private static func letters(_ piece: [Unicode.Scalar]) -> [Unicode.Scalar] {
    TokenText(piece).bytes.map { ByteAlphabet.letters[Int($0)] }
  }
}
