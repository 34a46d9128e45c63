"""A layer of experts as `epc bench` measures it (64 of 1024 x 512, 8 a token, bf16) with a peer's kernels:

    experts.py torch              torch's grouped_mm over rows sorted by expert
    experts.py ggml FOLDER        ggml's mul_mat_id, from the libraries of llama-cpp-python in FOLDER

A line of JSON for each number of tokens. Layers take turns over four sets of weights, 805 MB, so that they come from memory.
"""

import ctypes
import glob
import json
import os
import sys
import time

HIDDEN, INNER, EXPERTS, CHOICES, SETS, THREADS = 1024, 512, 64, 8, 4, 2
TOKENS = [1, 4, 16, 32, 64, 1024]


def turns(tokens):
    """How many layers in a row take other experts of a set: few tokens never meet the same ones twice."""
    return max(1, EXPERTS // (CHOICES * tokens))


def choices(tokens, turn):
    """Experts take turns, all different for a token."""
    first = turn * CHOICES * tokens
    return [
        [(first + t * CHOICES + c) % EXPERTS for c in range(CHOICES)] for t in range(tokens)
    ]


def report(tokens, layer):
    """Times a layer, given the set of weights and the turn: the fastest of a few rounds over all of them."""
    best = float("inf")
    count = SETS * turns(tokens)
    for number in range(6):
        start = time.perf_counter()
        for one in range(count):
            layer(one % SETS, one // SETS)
        if number > 0:
            best = min(best, (time.perf_counter() - start) / count)
    print(json.dumps({"tokens": tokens, "seconds": best}), flush=True)


def torch_peer():
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    real = torch.bfloat16
    gate_up = [torch.rand(EXPERTS, HIDDEN, 2 * INNER, dtype=real) - 0.5 for _ in range(SETS)]
    down = [torch.rand(EXPERTS, INNER, HIDDEN, dtype=real) - 0.5 for _ in range(SETS)]
    for tokens in TOKENS:
        x = torch.rand(tokens, HIDDEN, dtype=real)
        weights = torch.rand(tokens * CHOICES, 1)
        routes = []
        for turn in range(turns(tokens)):
            chosen = torch.tensor(choices(tokens, turn)).flatten()
            order = torch.argsort(chosen, stable=True)
            ends = torch.cumsum(torch.bincount(chosen, minlength=EXPERTS), 0).to(torch.int32)
            routes.append((order, order // CHOICES, ends))

        def layer(one, turn):
            order, source, ends = routes[turn]
            both = torch.nn.functional.grouped_mm(x[source], gate_up[one], offs=ends)
            inner = torch.nn.functional.silu(both[:, :INNER]) * both[:, INNER:]
            out = torch.nn.functional.grouped_mm(inner, down[one], offs=ends)
            torch.zeros(tokens, HIDDEN).index_add_(0, source, out * weights[order])

        report(tokens, layer)


def ggml_peer(folder):
    libraries = sorted(glob.glob(os.path.join(folder, "**", "libggml*.so"), recursive=True))
    if not libraries:
        sys.exit(f"no libggml*.so below {folder}")
    order = {"libggml-base.so": 0, "libggml-cpu.so": 1, "libggml.so": 2}
    loaded = {}
    for path in sorted(libraries, key=lambda path: order.get(os.path.basename(path), 3)):
        if os.path.basename(path) in order:
            loaded[os.path.basename(path)] = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    base, cpu = loaded["libggml-base.so"], loaded["libggml-cpu.so"]

    class Parameters(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]

    pointer, size = ctypes.c_void_p, ctypes.c_int64
    signatures = {
        "ggml_init": (pointer, [Parameters]),
        "ggml_new_tensor_3d": (pointer, [pointer, ctypes.c_int, size, size, size]),
        "ggml_mul_mat_id": (pointer, [pointer, pointer, pointer, pointer]),
        "ggml_mul": (pointer, [pointer, pointer, pointer]),
        "ggml_add": (pointer, [pointer, pointer, pointer]),
        "ggml_silu": (pointer, [pointer, pointer]),
        "ggml_view_2d": (pointer, [pointer, pointer, size, size, ctypes.c_size_t, ctypes.c_size_t]),
        "ggml_new_graph": (pointer, [pointer]),
        "ggml_build_forward_expand": (None, [pointer, pointer]),
        "ggml_get_data": (pointer, [pointer]),
        "ggml_nbytes": (ctypes.c_size_t, [pointer]),
        "ggml_free": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        getattr(base, name).restype, getattr(base, name).argtypes = result, arguments
    compute = cpu.ggml_graph_compute_with_ctx
    compute.argtypes = [pointer, pointer, ctypes.c_int]
    cpu.ggml_cpu_init()
    f32, i32, bf16 = 0, 26, 30
    context = base.ggml_init(Parameters(1 << 30, None, False))

    def tensor(context, kind, *sizes):
        made = base.ggml_new_tensor_3d(context, kind, *sizes)
        # 0x3c of every byte is a small number in both formats of reals.
        ctypes.memset(base.ggml_get_data(made), 0x3C, base.ggml_nbytes(made))
        return made

    sets = [
        [tensor(context, bf16, *sizes, EXPERTS) for sizes in
         [(HIDDEN, INNER), (HIDDEN, INNER), (INNER, HIDDEN)]] for _ in range(SETS)
    ]
    for tokens in TOKENS:
        step = base.ggml_init(Parameters(2 << 30, None, False))
        x = tensor(step, f32, HIDDEN, 1, tokens)
        weights = tensor(step, f32, 1, CHOICES, tokens)
        chosen = tensor(step, i32, CHOICES, tokens, 1)
        routes = []
        for turn in range(turns(tokens)):
            flat = [expert for row in choices(tokens, turn) for expert in row]
            routes.append((ctypes.c_int32 * len(flat))(*flat))
        graphs = []
        for gate, up, down in sets:
            inner = base.ggml_mul(
                step, base.ggml_silu(step, base.ggml_mul_mat_id(step, gate, x, chosen)),
                base.ggml_mul_mat_id(step, up, x, chosen))
            out = base.ggml_mul(step, base.ggml_mul_mat_id(step, down, inner, chosen), weights)
            row = 4 * HIDDEN
            parts = [
                base.ggml_view_2d(step, out, HIDDEN, tokens, CHOICES * row, c * row)
                for c in range(CHOICES)
            ]
            total = parts[0]
            for part in parts[1:]:
                total = base.ggml_add(step, total, part)
            graph = base.ggml_new_graph(step)
            base.ggml_build_forward_expand(graph, total)
            graphs.append(graph)

        def layer(one, turn):
            ctypes.memmove(base.ggml_get_data(chosen), routes[turn], ctypes.sizeof(routes[turn]))
            compute(step, graphs[one], THREADS)

        report(tokens, layer)
        base.ggml_free(step)


if sys.argv[1:2] == ["torch"]:
    torch_peer()
elif sys.argv[1:2] == ["ggml"] and len(sys.argv) == 3:
    ggml_peer(sys.argv[2])
else:
    sys.exit(__doc__)
