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
    // What to return, and how to generate: what transformers 4 wrote into every config.
    "use_cache", "output_router_logits", "output_attentions", "output_hidden_states",
    "output_scores", "return_dict", "return_dict_in_generate", "use_return_dict",
    "num_logits_to_keep", "problem_type", "id2label", "label2id", "num_labels", "do_sample",
    "temperature", "top_p", "top_k", "typical_p", "max_length", "min_length", "early_stopping",
    "num_beams", "num_beam_groups", "num_return_sequences", "diversity_penalty",
    "repetition_penalty", "length_penalty", "exponential_decay_length_penalty",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "remove_invalid_values", "is_encoder_decoder", "is_decoder",
    "add_cross_attention", "cross_attention_hidden_size", "tie_encoder_decoder", "prefix",
    "finetuning_task", "chunk_size_feed_forward", "torchscript", "task_specific_params",
    "use_bfloat16", "tf_legacy_loss",
    // Limits that nothing enforces while it runs.
    "max_position_embeddings", "model_max_length", "max_seq_len",
    // Number formats of caches and routers, which the plan decides.
    "mamba_ssm_cache_dtype", "mamba_ssm_dtype", "moe_router_dtype", "router_dtype",
    // Choices between implementations of one function.
    "use_mamba_kernels", "moe_shared_expert_overlap", "attn_implementation",
  ]
}
