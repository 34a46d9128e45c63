/// A prompt and what has been made of it so far.
final class Sequence {
  let number: Int
  let prompt: [Int32]
  let modality: [Int32]
  /// The prompt and the tokens made.
  var tokens: [Int32]
  /// Tokens whose state is in the caches.
  var cached = 0
  /// The pool it is in, and the data group there.
  var pool = 0
  var group = 0
  /// Tokens drafted to come after `tokens`.
  var drafts: [Int32] = []
  /// Hidden states that each MTP depth has still to work on, and the position of the first.
  var waiting: [(position: Int, hidden: [Float])]
  var isFinished = false
  var result: PromptResult

  /// Tokens to read before any is made: the prompt, and what an earlier run made of it.
  private let readLength: Int

  init(
    number: Int, prompt: [Int32], modality: [Int32], depths: Int, made earlier: PromptResult? = nil
  ) {
    self.number = number
    self.prompt = prompt
    self.modality = modality
    waiting = Array(repeating: (0, []), count: depths)
    // Of a prompt that was not read to its end, nothing is kept.
    if let earlier, !earlier.tokens.isEmpty {
      result = earlier
    } else {
      result = PromptResult(prompt: prompt)
    }
    tokens = prompt + result.tokens
    readLength = tokens.count
  }

  /// Whether everything that was there at first has been read.
  var isDecoding: Bool { tokens.count > readLength }

  /// Whether what is read is the prompt of another run's tokens.
  var isResumed: Bool { readLength > prompt.count }

  /// The tokens of positions from `start` on, drafts after the known ones.
  func inputs(from start: Int, count: Int) -> [Int32] {
    (start..<(start + count)).map { position in
      position < tokens.count ? tokens[position] : drafts[position - tokens.count]
    }
  }

  /// The modality of positions; text beyond the prompt.
  func modality(from start: Int, count: Int) -> [Int32] {
    (start..<(start + count)).map { modality.indices.contains($0) ? modality[$0] : 0 }
  }
}
