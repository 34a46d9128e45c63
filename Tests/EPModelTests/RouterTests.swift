import EPModel
import Testing

@Suite struct RouterTests {
  private func route(_ router: any ExpertRouter, identity: Int = 0) throws -> EPModel.Operation {
    let model = smallModel {
      Layers(0..<1) {
        MixtureOfExperts {
          router
          RoutedExperts(16, identity: identity) { SwiGLU(8) }
        }
      }
    }
    let traced = model.traced()
    #expect(traced.diagnostics.isEmpty, "\(traced.diagnostics)")
    return try #require(traced.program.functions[1].operations.last { $0.kind == .route })
  }

  @Test func routersSayWhatTheyAre() throws {
    let operation = try route(
      Router(
        .gumbelSoftmax(temperature: 0.5, seed: 7), .topP(0.9, atMost: 4), normalized: true,
        normalizeEpsilon: 1e-20, scale: 2.5, limit: GroupLimit(4, kept: 2, score: .topTwoSum),
        capacityFactor: 1.25, balanceLoss: 0.01),
      identity: 4)
    #expect(
      operation.attributes
        == Attributes([
          "scoring": "gumbel_softmax", "temperature": 0.5, "seed": 7, "selection": "top_p",
          "top_p": 0.9, "top_k": 4, "normalize": true, "normalize_epsilon": 1e-20, "scale": 2.5,
          "groups": 4, "groups_kept": 2, "group_score": "top2_sum", "capacity_factor": 1.25,
          "balance_loss": 0.01, "experts": 16, "identity_experts": 4,
        ]))
  }

  @Test func modalitiesBecomePartitions() throws {
    let operation = try route(
      Router(.softmax, topK: 2, modalities: [.init(0..<12), .init(8..<16)]))
    #expect(operation.attributes.ints("partitions") == [0, 12, 8, 8])
    #expect(operation.operand("modality") != nil)
  }

  @Test func hashRoutersReadIds() throws {
    #expect(try route(Router(.sigmoid, .hash(2))).operand("table") == nil)
    let stored = try route(Router(.sigmoid, .hash(2, table: true)))
    #expect(stored.operand("ids") != nil)
    #expect(stored.operand("table") != nil)
  }

  @Test func treesRouteWithinChosenGroups() throws {
    let operation = try route(
      HierarchicalRouter(
        groups: 4, outer: Router(.softmax, topK: 2), inner: Router(.softmax, topK: 3)))
    #expect(operation.attributes.int("groups") == 4)
    #expect(operation.operand("outer_indices") != nil)
    #expect(operation.operand("outer_weights") != nil)
  }

  @Test func ownRoutersMakeLogitsAndLeaveTheRest() throws {
    struct Twice: ExpertRouter {
      func callAsFunction(_ x: Tensor, experts: Int, identity: Int) -> Routes {
        let scores = x.linear("scores", to: [Axis("experts", experts)]).softplus()
        return Router(.linear, topK: 3).routes(logits: scores, experts: experts)
      }
    }
    let operation = try route(Twice())
    #expect(operation.attributes.text("scoring") == "none")
    #expect(operation.attributes.int("top_k") == 3)
  }
}
