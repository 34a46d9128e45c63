import EPJSON

/// What is put around the tokens of a text.
struct PostProcessor: Sendable {
  /// The tokens before and after, such as the one that begins a sequence.
  var before: [Int] = []
  var after: [Int] = []

  /// Reads a `post_processor` element.
  init(_ node: JSONNode?) throws(LoadFault) {
    guard let node else { return }
    switch try node.type() {
    case "ByteLevel": return
    case "Sequence":
      for step in try node.list("processors") {
        let inner = try PostProcessor(step)
        before = inner.before + before
        after += inner.after
      }
    case "TemplateProcessing": try readTemplate(node)
    case let type: throw node.unsupported("the post-processor '\(type)'")
    }
  }

  private mutating func readTemplate(_ node: JSONNode) throws(LoadFault) {
    var hasText = false
    for piece in try node.list("single") {
      let name = try piece.load { piece throws(JSONError) in
        try piece.optional("SpecialToken")?["id"].string()
      }
      guard let name else {
        if hasText { throw piece.unsupported("a template with the text twice") }
        hasText = true
        continue
      }
      let ids = try node.load { node throws(JSONError) in
        var ids: [Int] = []
        for id in try node["special_tokens"][name]["ids"].array() {
          ids.append(try id.int(in: 0...BytePairModel.maximumTokens))
        }
        return ids
      }
      if hasText { after += ids } else { before += ids }
    }
  }
}
