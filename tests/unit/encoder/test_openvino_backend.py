"""OpenVINO behind the seam, at fp32, which every processor has: the same numbers as the reference.

What the runtime gives in bf16 is looked at where the processor lists it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.integration.live import Workshop
from triptych_bundles import Repository, check_cosine
from triptych_encoder.backend import HIDDEN, RaggedBatch
from triptych_encoder.onnx_backend import OnnxBackend
from triptych_encoder.openvino_backend import BF16, OpenVinoBackend, capabilities
from triptych_encoder.padding import pad

POOLED = "pooled.mean"
VOCABULARY = 30_000
WORKERS = 2


@pytest.fixture(scope="module")
def graph(bundle_repository: Path) -> Path:
    """The default model's."""
    bundle = Repository(bundle_repository).find_model("all-minilm-l6-v2")
    return bundle.file(bundle.graphs["cpu-fp32"])


@pytest.fixture(scope="module")
def backend(graph: Path) -> Iterator[OpenVinoBackend]:
    opened = OpenVinoBackend(graph, WORKERS, "f32")
    yield opened
    opened.close()


def batch(rows: int, width: int, seed: int = 0) -> RaggedBatch:
    """Random ids; every row is a token shorter than the one before it."""
    lengths = np.maximum(width - np.arange(rows), 1).astype(np.int32)
    ids = np.random.default_rng(seed).integers(1, VOCABULARY, lengths.sum()).astype(np.int32)
    return RaggedBatch(ids, None, lengths)


def resident_bytes() -> int:
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def test_it_gives_what_the_reference_gives(graph: Path, backend: OpenVinoBackend) -> None:
    reference = OnnxBackend(graph)
    assert backend.outputs == reference.outputs
    assert backend.reads_token_types == reference.reads_token_types
    names = list(reference.outputs)
    for given in (batch(1, 3), batch(5, 40)):
        for name, own, known in zip(
            names, backend.run(given, names), reference.run(given, names), strict=True
        ):
            real = pad(given).attention_mask == 1 if name == HIDDEN else slice(None)
            np.testing.assert_allclose(own[real], known[real], rtol=0, atol=1e-4, err_msg=name)


def test_it_gives_the_outputs_that_are_asked_for_in_that_order(backend: OpenVinoBackend) -> None:
    given = batch(3, 12)
    hidden, cls = backend.run(given, [HIDDEN, "pooled.cls"])
    np.testing.assert_allclose(hidden[:, 0], cls, rtol=0, atol=1e-6)
    assert [result.shape for result in backend.run(given, [POOLED])] == [cls.shape]


def test_a_later_run_does_not_overwrite_an_earlier_one(backend: OpenVinoBackend) -> None:
    (first,) = backend.run(batch(2, 8, seed=1), [POOLED])
    kept = first.copy()
    (second,) = backend.run(batch(2, 8, seed=2), [POOLED])
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)


def test_threads_do_not_disturb_each_other(backend: OpenVinoBackend) -> None:
    """More of them than streams, each with a shape of its own."""
    given = [batch(1 + seed % 3, 5 + seed, seed) for seed in range(24)]
    alone = [backend.run(one, [POOLED])[0] for one in given]
    with ThreadPoolExecutor(2 * WORKERS) as threads:
        for results in [list(threads.map(lambda one: backend.run(one, [POOLED]), given))] * 3:
            for (together,), expected in zip(results, alone, strict=True):
                np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)


def test_memory_is_level_over_many_shapes(tmp_path: Path) -> None:
    """With the library's own bound it grows by 200 MB in the last part, as in each before it."""
    bundle = Workshop(tmp_path).make()
    backend = OpenVinoBackend(bundle.file(bundle.graphs["cpu-fp32"]), 1, "f32")
    shapes = [(rows, width) for width in range(3, bundle.max_length + 1) for rows in range(1, 41)]
    np.random.default_rng(5).shuffle(shapes)
    settled = 1200
    before = 0
    for count, (rows, width) in enumerate(shapes):
        backend.run(RaggedBatch.of([np.ones(width, np.int32)] * rows), [POOLED])
        before = resident_bytes() if count == settled else before
    assert len(shapes) > settled + 300
    assert resident_bytes() - before < 64 * 2**20


@pytest.mark.skipif("FP16" in capabilities(), reason="the processor would compute in fp16")
def test_a_type_that_it_would_not_compute_in_is_refused(graph: Path) -> None:
    """The library itself goes on in another, without a word."""
    with pytest.raises(ValueError, match="not in f16"):
        OpenVinoBackend(graph, 1, "f16")


def test_an_input_that_nobody_feeds_is_refused(tmp_path: Path) -> None:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n"])
    node = helper.make_node("Identity", ["pixels"], ["out"])
    model = helper.make_model(
        helper.make_graph([node], "toy", [pixels], [out]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ValueError, match="'pixels' of f32"):
        OpenVinoBackend(tmp_path / "model.onnx", 1, "f32")


@pytest.mark.skipif(BF16 not in capabilities(), reason="the processor does not list BF16")
def test_bf16_is_close_and_is_not_fp32(graph: Path, backend: OpenVinoBackend) -> None:
    given = batch(8, 24)
    half = OpenVinoBackend(graph, WORKERS, "bf16")
    (own,), (known,) = half.run(given, [POOLED]), backend.run(given, [POOLED])
    assert own.dtype == np.float32
    assert check_cosine(own, known, 0.999).passed
    assert np.abs(own - known).max() > 1e-4
    assert half.description.endswith("bf16")
