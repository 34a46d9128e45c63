import Testing

/// What publishers say of a model, beside what its file amounts to.
struct PublishedModel: Sendable, CustomTestStringConvertible {
  /// Which weights a figure counts; publishers differ.
  enum Counting: Sendable {
    /// All but MTP depths.
    case all
    /// Without the token table, which is looked up and not multiplied.
    case withoutTable
    /// Without the token table and the head.
    case layers
    /// With MTP depths and the copies of table and head that a checkpoint stores for them.
    case checkpoint
  }

  /// A published figure in billions and the place of its last digit.
  struct Figure: Sendable {
    var billions: Double
    var digit: Double
    var counting: Counting

    init(_ billions: Double, to digit: Double, _ counting: Counting) {
      self.billions = billions
      self.digit = digit
      self.counting = counting
    }

    /// Whether a count gives this figure, rounded or cut off.
    func agrees(with count: Int) -> Bool {
      let count = Double(count) / 1e9
      return count >= billions - digit / 2 && count < billions + digit
    }
  }

  /// The file below `models/`, without its extension.
  var file: String
  /// The exact count of all weights but those of MTP depths.
  var total: Int
  /// The published total.
  var publishedTotal: Figure?
  /// The published count of activated weights.
  var publishedActivated: Figure?
  /// Decoder layers with a dense feed-forward.
  var dense: Range<Int> = 0..<0
  /// Decoder layers in all.
  var layers: Int
  /// MTP depths.
  var drafts = 0
  /// Different functions the model is rolled into.
  var functions: Int
  /// Where the published figures stand.
  var source: String

  var testDescription: String { file }
}

let publishedModels: [PublishedModel] = [
  PublishedModel(
    file: "deepseek-v2-lite", total: 15_706_484_224,
    publishedTotal: .init(15.7, to: 0.1, .all),
    publishedActivated: .init(2.4, to: 0.1, .withoutTable), dense: 0..<1, layers: 27, functions: 4,
    source: "arXiv 2405.04434, appendix B"),
  PublishedModel(
    file: "deepseek-v3", total: 671_026_419_200,
    publishedTotal: .init(671, to: 1, .all), publishedActivated: .init(37, to: 1, .withoutTable),
    dense: 0..<3, layers: 61, drafts: 1, functions: 5,
    source: "arXiv 2412.19437, section 4.2; the exact total is the checkpoint's without MTP"),
  PublishedModel(
    file: "deepseek-v3.2", total: 671_877_944_064,
    publishedTotal: .init(685, to: 1, .checkpoint), dense: 0..<3, layers: 61, drafts: 1,
    functions: 5, source: "the parameter count that the hub shows for deepseek-ai/DeepSeek-V3.2"),
  // The report also says 106B counts the MTP layer; with it the layers have 108.0B.
  PublishedModel(
    file: "glm-4.5-air", total: 106_852_251_264,
    publishedTotal: .init(106, to: 1, .layers), publishedActivated: .init(12, to: 1, .layers),
    dense: 0..<1, layers: 46, drafts: 1, functions: 5,
    source: "arXiv 2508.06471, table 1: without word embeddings and output layer"),
  PublishedModel(
    file: "gpt-oss-120b", total: 116_829_156_672,
    publishedTotal: .init(116.83, to: 0.01, .all),
    publishedActivated: .init(5.13, to: 0.01, .withoutTable), layers: 36, functions: 4,
    source: "arXiv 2508.10925, table 1: the unembedding counts as active, the embedding does not"),
  // The report (arXiv 2507.20534, table 2) says 1.04T and 32.6B; another report (arXiv 2508.06471,
  // table 1) says 1043B. The published tensors have the total below, without their scales.
  PublishedModel(
    file: "k2", total: 1_026_408_232_448,
    publishedTotal: .init(1_000, to: 100, .all),
    publishedActivated: .init(32, to: 1, .withoutTable), dense: 0..<1, layers: 61, functions: 4,
    source: "model card of moonshotai/Kimi-K2-Instruct: 1T and 32B"),
  // 2.8 million weights of the attention residuals are missing from the file.
  PublishedModel(
    file: "kimi-k3", total: 2_779_481_795_168, publishedTotal: .init(2_780, to: 10, .all),
    dense: 0..<1, layers: 93, functions: 5, source: "Kimi K3 report, table 1, as quoted by others"),
  PublishedModel(
    file: "longcat-flash", total: 560_664_980_480,
    publishedTotal: .init(560, to: 1, .all),
    publishedActivated: .init(31.3, to: 0.1, .withoutTable), layers: 28, functions: 3,
    source: "arXiv 2509.01322, abstract; 31.3B is the most a token activates"),
  PublishedModel(
    file: "minimax-m2.5", total: 228_689_764_864,
    publishedTotal: .init(230, to: 10, .all), publishedActivated: .init(10, to: 1, .withoutTable),
    layers: 62, functions: 3, source: "model card of MiniMaxAI/MiniMax-M2"),
  PublishedModel(
    file: "mixtral-8x7b", total: 46_702_792_704,
    publishedTotal: .init(46.7, to: 0.1, .all), publishedActivated: .init(12.9, to: 0.1, .all),
    layers: 32, functions: 3, source: "Mistral AI, Mixtral of experts, 2023-12-11"),
  PublishedModel(
    file: "qwen3-235b-a22b", total: 235_093_634_560,
    publishedTotal: .init(235, to: 1, .all), publishedActivated: .init(22, to: 1, .all),
    layers: 94, functions: 3, source: "arXiv 2505.09388, table 2"),
  PublishedModel(
    file: "qwen3-30b-a3b", total: 30_532_122_624,
    publishedTotal: .init(30.5, to: 0.1, .all), publishedActivated: .init(3.3, to: 0.1, .all),
    layers: 48, functions: 3, source: "model card of Qwen/Qwen3-30B-A3B"),
  PublishedModel(
    file: "qwen3-next-80b-a3b", total: 79_674_391_296,
    publishedTotal: .init(80, to: 1, .all), publishedActivated: .init(3, to: 1, .layers),
    layers: 48, functions: 4, source: "model card of Qwen/Qwen3-Next-80B-A3B-Instruct"),
  PublishedModel(
    file: "tiny-deepseek", total: 453_392, dense: 0..<1, layers: 4, drafts: 1, functions: 5,
    source: "made up"),
  PublishedModel(
    file: "tiny-k2", total: 580_976, dense: 0..<1, layers: 4, functions: 4, source: "made up"),
]
