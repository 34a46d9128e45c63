public import EPJSON

/// One step down a JSON tree.
public enum JSONStep: Hashable, Sendable {
  case key(String)
  case index(Int)

  /// The path with indices left open: `$.pools[].mesh.tp`.
  public static func pattern(_ steps: [JSONStep]) -> String {
    steps.reduce("$") { text, step in
      switch step {
      case .key(let key): return text + "." + key
      case .index: return text + "[]"
      }
    }
  }
}

extension JSONValue {
  /// Calls `body` with every place below this one.
  public func visit(_ steps: [JSONStep] = [], _ body: ([JSONStep], JSONValue) -> Void) {
    if !steps.isEmpty { body(steps, self) }
    switch self {
    case .array(let elements):
      for (index, element) in elements.enumerated() { element.visit(steps + [.index(index)], body) }
    case .object(let object):
      for member in object.members { member.value.visit(steps + [.key(member.key)], body) }
    case .null, .bool, .int, .double, .string: break
    }
  }

  /// The tree with the value at a place replaced, or removed.
  public func replacing(_ steps: ArraySlice<JSONStep>, with value: JSONValue?) -> JSONValue {
    guard let step = steps.first else { return value ?? .null }
    switch (step, self) {
    case (.key(let key), .object(var object)):
      guard let child = object[key] else { return self }
      object[key] =
        steps.count == 1 ? value : child.replacing(steps.dropFirst(), with: value)
      return .object(object)
    case (.index(let index), .array(var elements)):
      guard elements.indices.contains(index) else { return self }
      if steps.count == 1 && value == nil {
        elements.remove(at: index)
      } else {
        elements[index] = elements[index].replacing(steps.dropFirst(), with: value)
      }
      return .array(elements)
    default: return self
    }
  }

  /// The value at a place.
  public func value(at steps: ArraySlice<JSONStep>) -> JSONValue? {
    guard let step = steps.first else { return self }
    switch (step, self) {
    case (.key(let key), .object(let object)): return object[key]?.value(at: steps.dropFirst())
    case (.index(let index), .array(let elements)):
      return elements.indices.contains(index)
        ? elements[index].value(at: steps.dropFirst()) : nil
    default: return nil
    }
  }

  /// The tree with the value at a place changed at random, or nil where nothing can be.
  public func mutated(at steps: [JSONStep], _ random: inout SeededGenerator) -> JSONValue? {
    guard let old = value(at: steps[...]) else { return nil }
    if random.once(in: 8) { return replacing(steps[...], with: nil) }
    let new: JSONValue
    switch old {
    case .null: new = .int(0)
    case .bool(let flag): new = .bool(!flag)
    case .int(let number):
      let choices = [
        number &+ 1, number &- 1, number &* 2, number / 2, 0, -1, 1 << 20, .max, number &+ 256,
      ]
      new = .int(random.pick(choices))
    case .double(let number):
      new = .double(random.pick([number * 2, number / 2, 0, -number, 1e300]))
    case .string(let text): new = .string(changed(text, &random))
    case .array(var elements):
      if elements.isEmpty {
        elements = [.int(0)]
      } else {
        let (a, b) = (random.below(elements.count), random.below(elements.count))
        switch random.below(3) {
        case 0: elements.swapAt(a, b)
        case 1: elements.append(elements[a])
        default: elements.remove(at: a)
        }
      }
      new = .array(elements)
    case .object(let object):
      guard let member = object.members.randomElement(using: &random) else { return nil }
      var changed = object
      changed[member.key] = nil
      new = .object(changed)
    }
    return replacing(steps[...], with: new)
  }

  private func changed(_ text: String, _ random: inout SeededGenerator) -> String {
    var characters = Array(text)
    if characters.isEmpty { return "x" }
    let place = random.below(characters.count)
    switch random.below(3) {
    case 0: characters[place] = random.pick(Array("0123456789abc%@$,-[]:_"))
    case 1: characters.remove(at: place)
    default: characters.insert(random.pick(Array("0123456789abc%@$,-[]:_")), at: place)
    }
    return String(characters)
  }
}
