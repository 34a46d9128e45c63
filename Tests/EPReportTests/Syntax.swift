/// A DOT text without what stands in quotes.
func unquoted(_ text: String) -> String {
  var (result, isQuoted, isEscaped) = ("", false, false)
  for character in text {
    if isEscaped {
      isEscaped = false
    } else if isQuoted && character == "\\" {
      isEscaped = true
    } else if character == "\"" {
      isQuoted.toggle()
    } else if !isQuoted {
      result.append(character)
    }
  }
  return isQuoted ? result + "{unterminated" : result
}

/// What is wrong with the tags of an XML text, or nil: they nest, attributes are quoted, and no
/// character stands where XML wants an entity.
func tagProblem(_ text: String) -> String? {
  var open: [Substring] = []
  var rest = text[...]
  while let start = rest.firstIndex(of: "<") {
    let content = rest[..<start]
    if content.contains(">") { return "'>' in content" }
    if let problem = entityProblem(content) { return problem }
    guard let end = rest[start...].firstIndex(of: ">") else { return "a tag without end" }
    var tag = rest[rest.index(after: start)..<end]
    rest = rest[rest.index(after: end)...]
    if tag.contains("<") { return "'<' in a tag" }
    if let problem = entityProblem(tag) { return problem }
    if tag.count(where: { $0 == "\"" }) % 2 != 0 { return "an open quote" }
    if tag.first == "/" {
      if open.popLast() != tag.dropFirst() { return "'</\(tag.dropFirst())>' closes another" }
    } else if tag.last == "/" {
      continue
    } else {
      tag = tag.prefix { $0 != " " }
      open.append(tag)
    }
  }
  return open.isEmpty ? nil : "'\(open)' stay open"
}

private func entityProblem(_ text: Substring) -> String? {
  for part in text.split(separator: "&", omittingEmptySubsequences: false).dropFirst() {
    if !["amp;", "lt;", "gt;", "quot;", "#39;"].contains(where: { part.hasPrefix($0) }) {
      return "a bare '&'"
    }
  }
  let isControl = text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" }
  return isControl ? "a control character" : nil
}
