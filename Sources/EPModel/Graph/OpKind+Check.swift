extension Operation {
  /// Checks operands and attributes against the operation's specification.
  ///
  /// Only what the specification says is checked here; `inferResults` checks the types.
  public func checkForm() throws(OpError) {
    let specification = kind.specification
    for role in specification.roles {
      let found = operands(role.name)
      if role.presence == .required, found.count != 1 {
        throw OpError("'\(kind.rawValue)' needs one operand '\(role.name)', has \(found.count)")
      }
      if role.presence == .optional, found.count > 1 {
        throw OpError("'\(kind.rawValue)' takes one operand '\(role.name)', has \(found.count)")
      }
      if role.presence == .repeated, found.isEmpty {
        throw OpError("'\(kind.rawValue)' needs an operand '\(role.name)'")
      }
      for reference in found where !role.accepts(reference) {
        throw OpError("'\(kind.rawValue)' cannot take \(reference) as '\(role.name)'")
      }
    }
    for operand in operands where !specification.roles.contains(where: { $0.name == operand.role })
    {
      throw OpError("'\(kind.rawValue)' has no operand '\(operand.role)'")
    }
    for rule in specification.attributes {
      guard let value = attributes[rule.name] else {
        if rule.required {
          throw OpError("'\(kind.rawValue)' needs the attribute '\(rule.name)'")
        }
        continue
      }
      if !rule.accepts(value) {
        throw OpError("'\(kind.rawValue)' cannot have '\(rule.name)' = \(value)")
      }
    }
    for entry in attributes.entries
    where !specification.attributes.contains(where: { $0.name == entry.name }) {
      throw OpError("'\(kind.rawValue)' has no attribute '\(entry.name)'")
    }
    if results.count != specification.resultCount {
      throw OpError(
        "'\(kind.rawValue)' defines \(specification.resultCount) values, not \(results.count)")
    }
  }
}

extension OpSpecification.Role {
  func accepts(_ reference: Reference) -> Bool {
    switch (accepts, reference) {
    case (.value, .value), (.weight, .weight), (.cache, .cache): return true
    case (.valueOrWeight, .value), (.valueOrWeight, .weight): return true
    default: return false
    }
  }
}

extension OpSpecification.AttributeRule {
  func accepts(_ value: Attribute) -> Bool {
    switch (form, value) {
    case (.flag, .flag), (.int, .int), (.real, .int): return true
    case (.real, .real(let value)): return value.isFinite
    case (.text(let allowed), .text(let text)): return allowed.isEmpty || allowed.contains(text)
    case (.texts, .list(let values)):
      return values.allSatisfy { if case .text = $0 { return true } else { return false } }
    case (.ints, .list(let values)):
      return values.allSatisfy { if case .int = $0 { return true } else { return false } }
    default: return false
    }
  }
}
