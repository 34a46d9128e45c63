public import EPModel

extension Attributes: ExpressibleByDictionaryLiteral {
  /// Attributes by name; those that are nil are left out.
  public init(dictionaryLiteral elements: (String, Attribute?)...) {
    self.init()
    for (name, value) in elements where value != nil { self[name] = value }
  }
}
