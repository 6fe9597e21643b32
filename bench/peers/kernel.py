"""Matrix products: millrace beside PyTorch (MKL, oneDNN) and ONNX Runtime (MLAS), the same sizes, taking turns in one run.

The weights of up to 512 rows are constants on each side, so that each may pack them beforehand. 400x400x4096 is a weight
gradient, AᵀB: both operands are given anew in each call on each side. Prints GFLOP/s, the share of peak and ratios; the last
line is one JSON object.
"""

import json

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

import measure

PRODUCTS = [(4096, 400, 400), (4096, 320, 400), (512, 400, 400), (100, 400, 400), (16, 400, 400), (1, 400, 400), (400, 400, 4096)]
PACKED_ROWS = 512


def operands(m, n, k):
    rng = np.random.default_rng(1)
    gradient = m == n
    a = rng.standard_normal((k, m) if gradient else (m, k), dtype=np.float32)
    return a, rng.standard_normal((k, n), dtype=np.float32), gradient


def torch_calls(m, n, k):
    """The calls that PyTorch has for the product: its plain product, its linear layer, and oneDNN and MKL with weights packed beforehand."""
    a, b, gradient = operands(m, n, k)
    x, y, out = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
    if gradient:
        return {"mm": lambda: torch.mm(x.t(), y, out=out)}
    w = y.t().contiguous()
    calls = {"mm": lambda: torch.mm(x, y, out=out), "linear": lambda: torch.nn.functional.linear(x, w)}
    if m > PACKED_ROWS:
        return calls
    onednn = packed("oneDNN", lambda: torch.ops.mkldnn._reorder_linear_weight(w, m))
    if onednn is not None:
        calls["oneDNN"] = lambda: torch.ops.mkldnn._linear_pointwise(x, onednn, None, "none", [], "")
    mkl = packed("MKL", lambda: torch.ops.mkl._mkl_reorder_linear_weight(w, m))
    if mkl is not None:
        calls["MKL"] = lambda: torch.ops.mkl._mkl_linear(x, mkl, w, None, m)
    for name, call in calls.items():
        torch.testing.assert_close(call(), x @ y, rtol=1e-3, atol=1e-2, msg=lambda text, name=name: f"{name}: {text}")
    return calls


def packed(library, pack):
    """The packed weights, or None with a line where this PyTorch was built without the library."""
    try:
        return pack()
    except (RuntimeError, AttributeError) as e:
        print(f"no weights packed by {library}: {str(e).splitlines()[0][:120]}")
        return None


def ort_call(m, n, k, threads):
    """A session with one product, its operands and result bound beforehand, so that nothing is copied in a run."""
    a, b, gradient = operands(m, n, k)
    constant = m <= PACKED_ROWS and not gradient
    node = helper.make_node("Gemm", ["a", "b"], ["c"], transA=1) if gradient else helper.make_node("MatMul", ["a", "b"], ["c"])
    given = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    inputs = [given("a", a.shape)] + ([] if constant else [given("b", b.shape)])
    held = [onnx.numpy_helper.from_array(b, "b")] if constant else []
    model = helper.make_model(helper.make_graph([node], "product", inputs, [given("c", [m, n])], held), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    keep = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in (a, b, np.zeros((m, n), np.float32))]
    binding.bind_ortvalue_input("a", keep[0])
    if not constant:
        binding.bind_ortvalue_input("b", keep[1])
    binding.bind_ortvalue_output("c", keep[2])
    run = lambda: session.run_with_iobinding(binding)
    run()
    want = a.T @ b if gradient else a @ b
    np.testing.assert_allclose(keep[2].numpy(), want, rtol=1e-3, atol=1e-2)
    return run, keep


def main():
    args = measure.arguments(__doc__.splitlines()[0])
    print(f"{measure.processor()}; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}")
    rows, figures = [], []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for m, n, k in PRODUCTS:
            name, flops = f"{m}x{n}x{k}", 2.0 * m * n * k
            ours = peak = torch_best = ort_best = 0.0
            how = ""
            with torch.inference_mode():
                calls = torch_calls(m, n, k)
                for _ in range(args.rounds):
                    r = measure.millrace(args, "kernel", "--threads", str(threads), "--product", name, "--repeat", str(args.repeat),
                                         "--min-time", f"{args.min_ms}ms")
                    ours, peak = max(ours, r["gemm"][0]["gflops"]), max(peak, r["peak_gflops"][0]["gflops"])
                    for label, call in calls.items():
                        speed = flops / measure.fastest(call, args.repeat, args.min_ms) / 1e9
                        if speed > torch_best:
                            torch_best, how = speed, label
                    run, _keep = ort_call(m, n, k, threads)  # its threads spin, so it lives only while it is measured
                    ort_best = max(ort_best, flops / measure.fastest(run, args.repeat, args.min_ms) / 1e9)
                    del run, _keep
            best = max(torch_best, ort_best)
            figures.append({"m": m, "n": n, "k": k, "threads": threads, "peak_gflops": peak, "millrace": ours, "torch": torch_best, "torch_call": how,
                            "onnxruntime": ort_best, "ratio": ours / best})
            rows.append([name, str(threads), f"{ours:.1f}", f"{torch_best:.1f} ({how})", f"{ort_best:.1f}", f"{ours / best:.2f}", f"{100 * ours / peak:.1f} %",
                         f"{100 * best / peak:.1f} %"])
            print(f"{name}, {threads} threads: {ours / best:.2f}", flush=True)
        # Peaks of one number of threads are one machine's: the fastest seen counts for all sizes.
        peak = max(f["peak_gflops"] for f in figures if f["threads"] == threads)
        for f, r in zip(figures[-len(PRODUCTS):], rows[-len(PRODUCTS):]):
            f["peak_gflops"], f["peak_share"] = peak, f["millrace"] / peak
            r[-2:] = [f"{100 * f['millrace'] / peak:.1f} %", f"{100 * max(f['torch'], f['onnxruntime']) / peak:.1f} %"]
    measure.table(["product", "threads", "millrace GFLOP/s", "PyTorch", "ONNX Runtime", "ratio to best", "of peak", "best peer"], rows)
    print(json.dumps({"kernel": figures}))


if __name__ == "__main__":
    main()
