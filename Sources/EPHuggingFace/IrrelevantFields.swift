/// Fields of any family that do not change what a model computes at inference.
enum IrrelevantFields {
  static func contains(_ key: String) -> Bool {
    key.hasPrefix("_") || known.contains(key)
      || suffixes.contains { key.hasSuffix($0) }
  }

  private static let suffixes = [
    "_token_id", "_token_ids", "_token_index", "_dropout", "_pdrop", "_loss_coef", "_loss_weight",
  ]

  private static let known: Set<String> = [
    // The file itself, and which program wrote it.
    "architectures", "auto_map", "model_type", "transformers_version", "tokenizer_class",
    "torch_dtype", "dtype", "name_or_path", "license",
    // Training.
    "initializer_range", "aux_loss_alpha", "seq_aux", "pretraining_tp", "ep_size", "z_loss_alpha",
    "router_z_loss_coef", "dropout", "gradient_checkpointing", "moe_loss_weight",
    "mtp_loss_scaling_factor", "rescale_prenorm_residual", "embedding_dropout", "output_dropout",
    // What to return, and how to generate.
    "use_cache", "output_router_logits", "output_attentions", "output_hidden_states",
    "return_dict", "use_return_dict", "num_logits_to_keep", "problem_type", "id2label", "label2id",
    "num_labels", "do_sample", "temperature", "top_p", "top_k", "max_length", "min_length",
    "num_beams", "repetition_penalty", "is_encoder_decoder", "is_decoder", "add_cross_attention",
    "chunk_size_feed_forward", "torchscript", "task_specific_params", "use_bfloat16",
    // Limits that nothing enforces while it runs.
    "max_position_embeddings", "model_max_length", "max_seq_len",
    // Number formats of caches and routers, which the plan decides.
    "mamba_ssm_cache_dtype", "mamba_ssm_dtype", "moe_router_dtype", "router_dtype",
    // Choices between implementations of one function.
    "use_mamba_kernels", "moe_shared_expert_overlap", "attn_implementation",
  ]
}
