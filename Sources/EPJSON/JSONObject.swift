/// The members of a JSON object: unique keys in the order of their insertion.
///
/// Two objects are equal when they hold equal members in the same order, because that is when they
/// are written alike. Keys are the same when they are equal as Swift strings, so two spellings of
/// one key that differ only by Unicode normalisation cannot both be members.
public struct JSONObject: Hashable, Sendable {
  /// One member of an object.
  public struct Member: Hashable, Sendable {
    /// The name of the member, unique in its object.
    public let key: String
    /// The value of the member.
    public var value: JSONValue

    /// Makes a member.
    public init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  /// Above this count a hash index replaces the linear search.
  static let linearCount = 12

  /// All members, in order.
  public private(set) var members: [Member] = []
  /// Key to position; nil while the object is small.
  private var index: [String: Int]?

  /// Makes an object without members.
  public init() {}

  /// Makes an object of members whose keys are already known to be unique.
  init(unique members: [Member]) {
    self.members = members
    if members.count > Self.linearCount { buildIndex() }
  }

  /// The number of members.
  public var count: Int { members.count }

  /// Whether there are no members.
  public var isEmpty: Bool { members.isEmpty }

  /// All keys, in order.
  public var keys: [String] { members.map(\.key) }

  /// The value of a member; nil when there is none.
  ///
  /// Setting a new key appends a member, setting a known one keeps its place, and setting nil
  /// removes the member in linear time.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?): members[position].value = value
      case (nil, let value?): append(Member(key: key, value: value))
      case (let position?, nil):
        members.remove(at: position)
        index = nil
        if members.count > Self.linearCount { buildIndex() }
      case (nil, nil): break
      }
    }
  }

  /// Compares the members in order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool { a.members == b.members }

  /// Hashes the members in order.
  public func hash(into hasher: inout Hasher) { hasher.combine(members) }

  private func position(of key: String) -> Int? {
    if let index { return index[key] }
    for position in members.indices where members[position].key == key { return position }
    return nil
  }

  private mutating func append(_ member: Member) {
    members.append(member)
    if index != nil {
      index?[member.key] = members.count - 1
    } else if members.count > Self.linearCount {
      buildIndex()
    }
  }

  private mutating func buildIndex() {
    var index: [String: Int] = Dictionary(minimumCapacity: members.count)
    for (position, member) in members.enumerated() { index[member.key] = position }
    self.index = index
  }
}
