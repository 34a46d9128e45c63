import Testing

@Suite struct ModelFileTests {
  @Test(arguments: ModelFiles.names)
  func compilesAndTracesWithoutDiagnostics(name: String) async throws {
    let report = try #require(await ModelFiles.reports.value[name])
    #expect(report.problems == [])
  }

  @Test func everyModelHasPublishedFigures() {
    let models = ModelFiles.names.filter { !$0.hasPrefix("examples/") }
    #expect(models == publishedModels.map { "\($0.file).swift" }.sorted())
  }

  @Test(arguments: publishedModels)
  func layersAreDenseFirstThenMixtures(model: PublishedModel) async throws {
    let report = try await self.report(on: model)
    #expect(report.layers { !$0.isDraft } == Array(0..<model.layers))
    #expect(
      report.layers { !$0.isDraft && $0.isMixture }
        == Array(0..<model.layers).filter { !model.dense.contains($0) })
    #expect(
      report.layers { $0.isDraft } == Array(model.layers..<(model.layers + model.drafts)))
  }

  @Test(arguments: publishedModels)
  func layersThatAreAlikeAreOneFunction(model: PublishedModel) async throws {
    #expect(try await report(on: model).functions == model.functions)
  }

  @Test(arguments: publishedModels)
  func parametersAreThoseOfTheCheckpoint(model: PublishedModel) async throws {
    #expect(try await report(on: model).total == model.total)
  }

  @Test(arguments: publishedModels.filter { $0.publishedTotal != nil })
  func totalIsAsPublished(model: PublishedModel) async throws {
    let figure = try #require(model.publishedTotal)
    let report = try await report(on: model)
    #expect(figure.agrees(with: report.count(report.total, figure.counting)))
  }

  @Test(arguments: publishedModels.filter { $0.publishedActivated != nil })
  func activatedIsAsPublished(model: PublishedModel) async throws {
    let figure = try #require(model.publishedActivated)
    let report = try await report(on: model)
    #expect(figure.agrees(with: report.count(report.activated, figure.counting)))
  }

  @Test func k2AmountsToLessThanItsReportSays() async throws {
    let report = try #require(await ModelFiles.reports.value["k2.swift"])
    #expect(!PublishedModel.Figure(1_040, to: 10, .all).agrees(with: report.total))
    #expect(report.activated == 32_861_500_928)
    #expect(report.activated - report.table == 31_687_095_808)
  }

  @Test func longCatActivates27BillionOnAverage() async throws {
    let report = try #require(await ModelFiles.reports.value["longcat-flash.swift"])
    // A token takes 12 of 768 experts; on average 8 of them have weights, at least none.
    let expert = 28 * 3 * 6_144 * 2_048
    let most = report.activated - report.table
    #expect(PublishedModel.Figure(27, to: 1, .withoutTable).agrees(with: most - 4 * expert))
    #expect(PublishedModel.Figure(18.6, to: 0.1, .withoutTable).agrees(with: most - 12 * expert))
  }

  @Test func kindsOfAttentionAlternate() async throws {
    let reports = await ModelFiles.reports.value
    let next = try #require(reports["qwen3-next-80b-a3b.swift"])
    #expect(
      next.layers { $0.operations.contains("attention") } == Array(stride(from: 3, to: 48, by: 4)))
    let k3 = try #require(reports["kimi-k3.swift"])
    #expect(
      k3.layers { $0.operations.contains("latent_attention") }
        == Array(stride(from: 3, to: 92, by: 4)) + [92])
    let v32 = try #require(reports["deepseek-v3.2.swift"])
    #expect(v32.layers { $0.operations.contains("index") } == Array(0..<62))
  }

  private func report(on model: PublishedModel) async throws -> ModelFiles.Report {
    try #require(await ModelFiles.reports.value["\(model.file).swift"])
  }
}

extension ModelFiles.Report {
  /// A count of all weights, counted as a publisher does. Untied heads are as large as the table.
  func count(_ all: Int, _ counting: PublishedModel.Counting) -> Int {
    switch counting {
    case .all: return all
    case .withoutTable: return all - table
    case .layers: return all - 2 * table
    case .checkpoint: return all + drafts + 2 * table
    }
  }
}
