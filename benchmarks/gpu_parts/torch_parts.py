"""The baselines: transformers' BERT in fp16 with PyTorch's attention, eager and compiled."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.gpu_parts import workloads
from benchmarks.gpu_parts.report import Line
from benchmarks.gpu_parts.shapes import POSITIONS, VOCABULARY, ModelShape
from triptych_encoder.backend import Ints

BATCHES: Final = 8
SECONDS: Final = 2.0
Run = Callable[..., Any]


def sdpa(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:  # noqa: ARG001
    """Eager, with scaled_dot_product_attention."""
    yield from _lines("torch sdpa", shape, _model(shape))


def compiled(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:  # noqa: ARG001
    """Compiled: for each of the shapes there are, and for any where lengths are mixed."""
    import torch

    model = _model(shape)
    yield from _lines("torch compile", shape, torch.compile(model), mixed=False)
    yield from _lines("torch compile", shape, torch.compile(model, dynamic=True), fixed=False)


def _model(shape: ModelShape) -> Any:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=POSITIONS,
        attn_implementation="sdpa",
    )
    torch.manual_seed(1)
    return BertModel(config, add_pooling_layer=False).half().cuda().eval()


def _lines(
    name: str, shape: ModelShape, model: Run, fixed: bool = True, mixed: bool = True
) -> Iterator[Line]:
    if fixed:
        batches = workloads.fixed(shape.length, BATCHES)
        what = f"{name}, {shape.length} tokens"
        yield Line(shape.name, what, _rate(model, batches), "tokens/s")
    if mixed:
        for how in ("as they come", "sorted"):
            batches = workloads.mixed(BATCHES, padded=True, by_length=how == "sorted")
            batches = batches[:: max(1, len(batches) // BATCHES)][:BATCHES]
            what = f"{name}, 16 to 512 tokens {how}"
            yield Line(shape.name, what, _rate(model, batches), "tokens/s")


def _rate(model: Run, batches: Sequence[Sequence[Ints]]) -> float:
    """Real tokens a second, pooled in fp32, the inputs on the GPU already."""
    import torch

    inputs = [_padded(batch) for batch in batches]

    def round_() -> None:
        with torch.inference_mode():
            for ids, mask in inputs:
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                weights = mask.float().unsqueeze(-1)
                _ = (hidden * weights).sum(1) / weights.sum(1)
        torch.cuda.synchronize()

    round_()
    round_()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        round_()
        count += 1
    return count * workloads.tokens(batches) / (time.perf_counter() - started)


def _padded(batch: Sequence[Ints]) -> tuple[Any, Any]:
    import torch

    width = max(map(len, batch))
    ids, mask = (np.zeros((len(batch), width), np.int64) for _ in range(2))
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = sequence, 1
    return torch.from_numpy(ids).cuda(), torch.from_numpy(mask).cuda()
