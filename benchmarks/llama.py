"""Measures llama.cpp on the shapes of a DeepSeek-V3 config.json, with random weights.

Run by benchmarks/llama.sh, which builds llama.cpp. Prints one line of JSON for each number format:
prompt tokens a second, tokens a second of one sequence, and of several at a time.
"""

import argparse
import ctypes
import json
import pathlib
import time

import gguf
import llama_cpp
import numpy


def write_model(config, path, form):
    """Writes a GGUF file with random matrices of the format, MLA in absorbed form."""
    writer = gguf.GGUFWriter(path, "deepseek2")
    heads = config["num_attention_heads"]
    width = config["hidden_size"]
    nope, rope = config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    value, rank = config["v_head_dim"], config["kv_lora_rank"]
    query_rank, experts = config["q_lora_rank"], config["n_routed_experts"]
    inner, dense = config["moe_intermediate_size"], config["intermediate_size"]
    shared = inner * config["n_shared_experts"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(dense)
    writer.add_head_count(heads)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_q_lora_rank(query_rank)
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + rope)
    writer.add_value_length(rank)
    writer.add_key_length_mla(nope + rope)
    writer.add_value_length_mla(value)
    writer.add_rope_dimension_count(rope)
    writer.add_expert_feed_forward_length(inner)
    writer.add_expert_count(experts)
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_tokenizer_model("none")

    pool = numpy.random.default_rng(1).standard_normal(1 << 22, dtype=numpy.float32)

    def matrix(name, *shape):
        size = int(numpy.prod(shape))
        reals = numpy.resize(pool, size).reshape(shape) * numpy.float32(shape[-1] ** -0.5)
        if form == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, reals)
        else:
            writer.add_tensor(name, gguf.quants.quantize(reals, form), raw_dtype=form)

    def vector(name, *shape):
        writer.add_tensor(name, numpy.ones(shape, dtype=numpy.float32))

    matrix("token_embd.weight", config["vocab_size"], width)
    matrix("output.weight", config["vocab_size"], width)
    vector("output_norm.weight", width)
    for layer in range(config["num_hidden_layers"]):
        block = f"blk.{layer}."
        vector(block + "attn_norm.weight", width)
        vector(block + "ffn_norm.weight", width)
        matrix(block + "attn_q_a.weight", query_rank, width)
        vector(block + "attn_q_a_norm.weight", query_rank)
        matrix(block + "attn_q_b.weight", heads * (nope + rope), query_rank)
        matrix(block + "attn_kv_a_mqa.weight", rank + rope, width)
        vector(block + "attn_kv_a_norm.weight", rank)
        matrix(block + "attn_k_b.weight", heads, rank, nope)
        matrix(block + "attn_v_b.weight", heads, value, rank)
        matrix(block + "attn_output.weight", width, heads * value)
        if layer < config["first_k_dense_replace"]:
            matrix(block + "ffn_gate.weight", dense, width)
            matrix(block + "ffn_up.weight", dense, width)
            matrix(block + "ffn_down.weight", width, dense)
            continue
        router = pool[: experts * width].reshape(experts, width) * numpy.float32(width**-0.5)
        writer.add_tensor(block + "ffn_gate_inp.weight", router)
        writer.add_tensor(block + "exp_probs_b.bias", numpy.zeros(experts, dtype=numpy.float32))
        matrix(block + "ffn_gate_exps.weight", experts, inner, width)
        matrix(block + "ffn_up_exps.weight", experts, inner, width)
        matrix(block + "ffn_down_exps.weight", experts, width, inner)
        matrix(block + "ffn_gate_shexp.weight", shared, width)
        matrix(block + "ffn_up_shexp.weight", shared, width)
        matrix(block + "ffn_down_shexp.weight", width, shared)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Context:
    """A loaded model and the sequences it works on."""

    def __init__(self, path, vocabulary, prompt, decode, batch, threads):
        self.vocabulary = vocabulary
        parameters = llama_cpp.llama_model_default_params()
        parameters.use_mmap = False
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = batch * (prompt + decode)
        settings.n_batch = settings.n_ubatch = max(prompt, batch)
        settings.n_seq_max = batch
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.batch = llama_cpp.llama_batch_init(max(prompt, batch), 0, batch)

    def step(self, rows):
        """Rows of token, position, sequence, and whether logits are wanted; returns the choices."""
        self.batch.n_tokens = len(rows)
        for row, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[row] = token
            self.batch.pos[row] = position
            self.batch.n_seq_id[row] = 1
            self.batch.seq_id[row][0] = sequence
            self.batch.logits[row] = wanted
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        made = []
        for row, (_, _, _, wanted) in enumerate(rows):
            if wanted:
                logits = llama_cpp.llama_get_logits_ith(self.context, row)
                address = ctypes.cast(logits, ctypes.c_void_p).value
                kind = ctypes.c_float * self.vocabulary
                made.append(int(numpy.frombuffer(kind.from_address(address), "f4").argmax()))
        return made

    def prefill(self, prompt, sequence):
        tokens = [(i * 7919 + sequence * 104729) % self.vocabulary for i in range(prompt)]
        return self.step([(t, i, sequence, i == prompt - 1) for i, t in enumerate(tokens)])[0]

    def decode(self, tokens, prompt, steps):
        for i in range(steps):
            tokens = self.step([(t, prompt + i, s, True) for s, t in enumerate(tokens)])

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)


def measure(path, config, prompt, decode, batch, threads):
    # One sequence has a context of its own: caches of many are no burden to it then.
    context = Context(path, config["vocab_size"], prompt, decode, 1, threads)
    context.prefill(prompt, 0)
    prefill, step = [], []
    # The fastest of a few, as 'epc bench' has it.
    for _ in range(3):
        context.clear()
        start = time.perf_counter()
        token = context.prefill(prompt, 0)
        prefill.append(prompt / (time.perf_counter() - start))
        start = time.perf_counter()
        context.decode([token], prompt, decode - 1)
        step.append((decode - 1) / (time.perf_counter() - start))
    result = {
        "prefill_tokens_per_second": round(max(prefill), 1),
        "decode_tokens_per_second": round(max(step), 1),
    }
    if batch > 1:
        del context
        context = Context(path, config["vocab_size"], prompt, decode, batch, threads)
        tokens = [context.prefill(prompt, sequence) for sequence in range(batch)]
        start = time.perf_counter()
        context.decode(tokens, prompt, decode - 1)
        rate = batch * (decode - 1) / (time.perf_counter() - start)
        result[f"decode_tokens_per_second_of_{batch}"] = round(rate, 1)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where models are written")
    parser.add_argument("--formats", default="f32,bf16,q8_0")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write-only", action="store_true", help="write the models, measure nothing")
    flags = parser.parse_args()
    config = json.loads(flags.config.read_text())
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    for name in flags.formats.split(","):
        path = flags.folder / f"{flags.config.parent.name}-{name}.gguf"
        if not path.exists():
            part = path.with_suffix(".part")
            write_model(config, part, gguf.GGMLQuantizationType[name.upper()])
            part.rename(path)
        if flags.write_only:
            continue
        row = measure(path, config, flags.prompt, flags.decode, flags.batch, flags.threads)
        print(json.dumps({"peer": "llama.cpp", "format": name, **row}), flush=True)


main()
