internal import EPModel
internal import EPPlan

extension PlanGraph {
  /// The graph in Graphviz' DOT language.
  public var dot: String {
    var lines = [
      "digraph plan {",
      "  label=\(Escaping.dot([title, subtitle])); labelloc=t; fontname=\"Helvetica\";",
      "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];",
      "  edge [fontname=\"Helvetica\", fontsize=9, color=\"#64748b\"];",
    ]
    var clusters = 0
    writeCluster([], of: Array(nodes.indices), into: &lines, &clusters)
    for edge in edges {
      let isIndex = types[edge.value].element == .index
      let crosses = nodes[edge.from].stream != nodes[edge.to].stream
      lines.append(
        "  n\(edge.from) -> n\(edge.to) [label=\(Escaping.dot([OpLabel.text(of: types[edge.value])]))"
          + ", tooltip=\(Escaping.dot(["%\(edge.value) as \(edge.role)"]))"
          + (isIndex ? ", style=dashed" : "") + (crosses ? ", color=\"#db2777\"" : "") + "];")
    }
    lines.append("}")
    return lines.map { $0 + "\n" }.joined()
  }

  /// Writes the nodes below a scope, those of each deeper scope in a cluster of their own.
  private func writeCluster(
    _ scope: [String], of members: [Int], into lines: inout [String], _ clusters: inout Int
  ) {
    let indent = String(repeating: "  ", count: scope.count + 1)
    var deeper: [(name: String, members: [Int])] = []
    for member in members {
      guard nodes[member].scope.count > scope.count else {
        lines.append(indent + statement(of: member))
        continue
      }
      let name = nodes[member].scope[scope.count]
      if let position = deeper.firstIndex(where: { $0.name == name }) {
        deeper[position].members.append(member)
      } else {
        deeper.append((name, [member]))
      }
    }
    for part in deeper {
      if part.members.count == 1 {
        lines.append(indent + statement(of: part.members[0]))
        continue
      }
      lines.append("\(indent)subgraph cluster_\(clusters) {")
      lines.append(
        "\(indent)  label=\(Escaping.dot([part.name])); color=\"#cbd5e1\"; fontsize=10;")
      clusters += 1
      writeCluster(scope + [part.name], of: part.members, into: &lines, &clusters)
      lines.append("\(indent)}")
    }
  }

  private func statement(of index: Int) -> String {
    let node = nodes[index]
    let (fill, line) = node.family.colours
    let text = [node.title, node.detail, node.note].filter { !$0.isEmpty }
    let number = node.operation.map { "operation \($0), \(node.stream) stream" } ?? node.detail
    return "n\(index) [label=\(Escaping.dot(text)), fillcolor=\"\(fill)\", color=\"\(line)\", "
      + "tooltip=\(Escaping.dot([number]))"
      + (node.stream == .communication ? ", shape=cds, style=filled, penwidth=2" : "") + "];"
  }
}
