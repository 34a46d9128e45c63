internal import EPModel

/// How much room text takes. All text is monospaced, so that its width is known without a font.
enum GraphMetrics {
  /// Sizes of text, in pixels.
  enum Size {
    static let heading = 17.0
    static let title = 13.0
    static let detail = 11.0
    static let label = 10.0
  }

  /// The width of text; monospaced fonts have advances of 0.55 to 0.61 of their size.
  static func width(_ text: String, _ size: Double) -> Double {
    (Double(text.count) * size * 0.61).rounded(.up)
  }

  /// The width of a node's box.
  static func width(of node: PlanGraph.Node) -> Double {
    let number = node.operation.map { "  \($0)" } ?? ""
    let widest = max(
      width(node.title, Size.title) + width(number, Size.label), width(node.detail, Size.detail),
      width(node.note, Size.detail))
    return max(widest + 22, 70)
  }

  /// The height of a node's box.
  static func height(of node: PlanGraph.Node) -> Double {
    26 + (node.detail.isEmpty ? 0 : 15) + (node.note.isEmpty ? 0 : 15)
  }

  /// The width of the label of a value.
  static func labelWidth(of type: TensorType) -> Double {
    width(OpLabel.text(of: type), Size.label) + 6
  }

  /// The width of the labels of all values that a node defines.
  static func labelsWidth(of node: PlanGraph.Node, _ graph: PlanGraph) -> Double {
    node.results.reduce(-14) { $0 + labelWidth(of: graph.types[$1]) + 14 }
  }
}
