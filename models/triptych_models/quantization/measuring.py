"""How close the graphs in int8 come to fp32 on texts that they were not calibrated with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from triptych_bundles import TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_models.errors import ImpreciseModel
from triptych_models.golden import GoldenFiles
from triptych_models.plan import Plan
from triptych_models.progress import Say
from triptych_models.runtime import PaddedGraph
from triptych_models.verification import MIXED_BATCH

Vectors = NDArray[np.float32]
TOKEN_AGREEMENT = "golden-tokens"  # noqa: S105 (no secret)


def measure_int8(
    plan: Plan, graphs: Sequence[Path], golden: GoldenFiles, say: Say
) -> Mapping[str, object]:
    """What bundle.yaml says of int8: the worst of the graphs, each text alone and in batches.

    Of the model's own pooling, by onnxruntime. Raises ImpreciseModel below the plan's floor.
    """
    tensors, output = load(golden.vectors), pooled_output(plan.settings.pooling)
    sequences = np.split(tensors["input_ids"], np.cumsum(tensors["lengths"])[:-1])
    cosines, mates, labels = [], [], []
    for path in graphs:
        graph = PaddedGraph(path)
        outputs = [output, *([TOKEN_LOGITS_OUTPUT] if plan.task == "tag" else [])]
        alone = graph.run_all(sequences, outputs, 1)
        batched = graph.run_all(sequences, outputs, MIXED_BATCH)
        cosines += [_cosines(one[output], tensors[output]) for one in (alone, batched)]
        mates.append(_cosines(batched[output], alone[output]))
        if plan.task == "tag":
            labels.append(_agreement(alone[TOKEN_LOGITS_OUTPUT], tensors[TOKEN_LOGITS_OUTPUT]))
    record = _record(plan, np.stack(cosines), np.stack(mates), labels)
    say(f"  int8: worst cosine {record['worst_cosine']}, mean {record['mean_cosine']}")
    return record


def _record(
    plan: Plan, cosines: NDArray[np.float64], mates: NDArray[np.float64], labels: Sequence[float]
) -> Mapping[str, object]:
    worst, floor = float(cosines.min()), float(plan.int8_min_cosine or 0)
    if not worst >= floor:
        text = int(cosines.min(axis=0).argmin())
        reason = f"golden text {text} comes out at cosine {worst:.6f}, less than {floor}"
        raise ImpreciseModel(f"{plan.name}@{plan.version} in int8: {reason} (--min-cosine)")
    scores = {}
    if labels:
        scores[TOKEN_AGREEMENT] = {"metric": "same label as in fp32", "fp32": 1.0}
        scores[TOKEN_AGREEMENT]["own"] = _rounded(min(labels))
    return {
        "min_cosine": floor,
        "worst_cosine": _rounded(worst),
        "mean_cosine": _rounded(float(cosines.mean(axis=1).min())),
        "texts": cosines.shape[1],
        "batch_cosine": _rounded(float(mates.min())),
        "scores": scores,
    }


def _cosines(actual: Vectors, expected: Vectors) -> NDArray[np.float64]:
    """[N] of float[N, H]; -1 for what is no direction."""
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: NDArray[np.float64] = (left * right).sum(axis=1) / lengths
    return np.where(np.isfinite(cosines), cosines, -1.0)


def _agreement(actual: Vectors, expected: Vectors) -> float:
    return float((actual.argmax(axis=1) == expected.argmax(axis=1)).mean())


def _rounded(share: float) -> float:
    """Downwards to six places, so that no figure says more than was measured."""
    return max(0.0, min(1.0, float(np.floor(share * 1e6) / 1e6)))
