"""Every architecture and task against transformers: vectors and logits within 1e-4.

The ids are transformers' own, and the bundle's tokenizer must give the same. Each input goes
through the graph alone and in padded batches of short and long ones; a head's layers run as
postprocess runs them.
"""

import json
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.parity.conftest import Compile, Golden
from tests.parity.tiny_models import ARCHITECTURES, HERE, MAX_LENGTH, TASKS
from triptych_bundles import POOLINGS, TOKEN_LOGITS_OUTPUT, Bundle, forward, read_layers
from triptych_bundles import pooled_output as pooled
from triptych_models.runtime import PaddedGraph

TOLERANCE = 1e-4
MANIFEST_TASKS = {"embed": "embed", "classify": "classify", "multi": "classify"}
MANIFEST_TASKS |= {"rank": "rank", "tag": "tag"}
ReadGolden = Callable[[str], Golden]
Outputs = Mapping[str, NDArray[np.float32]]

each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
each_kind = pytest.mark.parametrize("kind", ["texts", "pairs"])
each_batch = pytest.mark.parametrize("batch_size", [1, 7], ids=["alone", "mixed"])


def run(bundle: Bundle, golden: Golden, kind: str, batch_size: int) -> Outputs:
    """All outputs but the hidden states, for the golden ids and token types."""
    outputs = [output for output in bundle.outputs if output != "last_hidden_state"]
    graph = PaddedGraph(bundle.file(bundle.graphs["cpu-fp32"]))
    types = golden.ids(kind, "token_type_ids")
    return graph.run_all(golden.ids(kind), outputs, batch_size, types)


def logits(bundle: Bundle, outputs: Outputs) -> NDArray[np.float32]:
    """What the bundle's head makes of the vectors."""
    assert bundle.head is not None
    layers = read_layers(bundle, bundle.head)
    return forward(layers, outputs[bundle.head.input], bundle.head.normalized)


@each_architecture
@each_kind
def test_ids_are_those_of_transformers(
    compile_tiny: Compile, read_golden: ReadGolden, architecture: str, kind: str
) -> None:
    bundle, golden = compile_tiny(architecture, "embed"), read_golden(architecture)
    tokenizer = Tokenizer.from_file(str(bundle.file("tokenizer.json")))
    tokenizer.enable_truncation(bundle.max_length)
    given = json.loads((HERE / "inputs.json").read_bytes())[kind]
    made = [tokenizer.encode(*([one] if isinstance(one, str) else one)) for one in given]
    assert [encoding.ids for encoding in made] == [ids.tolist() for ids in golden.ids(kind)]
    assert max(map(len, golden.ids(kind))) == MAX_LENGTH == bundle.max_length


@each_architecture
@each_kind
@each_batch
def test_vectors(
    compile_tiny: Compile, read_golden: ReadGolden, architecture: str, kind: str, batch_size: int
) -> None:
    golden = read_golden(architecture)
    outputs = run(compile_tiny(architecture, "embed"), golden, kind, batch_size)
    for pooling in map(pooled, POOLINGS):
        expected = golden.tensors[f"{kind}.{pooling}"]
        np.testing.assert_allclose(outputs[pooling], expected, rtol=0, atol=TOLERANCE)


@each_architecture
@each_kind
@each_batch
@pytest.mark.parametrize("task", ["classify", "multi", "rank"])
def test_logits_of_whole_inputs(
    compile_tiny: Compile,
    read_golden: ReadGolden,
    architecture: str,
    kind: str,
    batch_size: int,
    task: str,
) -> None:
    bundle, golden = compile_tiny(architecture, task), read_golden(architecture)
    actual = logits(bundle, run(bundle, golden, kind, batch_size))
    expected = golden.tensors[f"{kind}.{task}"]
    assert np.ptp(expected, axis=0).min() > 100 * TOLERANCE  # no test where all inputs are alike
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


@each_architecture
@each_kind
@each_batch
def test_logits_of_tokens(
    compile_tiny: Compile, read_golden: ReadGolden, architecture: str, kind: str, batch_size: int
) -> None:
    bundle, golden = compile_tiny(architecture, "tag"), read_golden(architecture)
    actual = run(bundle, golden, kind, batch_size)[TOKEN_LOGITS_OUTPUT]
    expected = golden.tensors[f"{kind}.token_logits"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


@each_architecture
@pytest.mark.parametrize("task", TASKS)
def test_the_manifest_says_what_the_model_is_for(
    compile_tiny: Compile, architecture: str, task: str
) -> None:
    bundle, (_, labels, problem_type) = compile_tiny(architecture, task), TASKS[task]
    assert (bundle.architecture, bundle.task) == (architecture, MANIFEST_TASKS[task])
    assert bundle.token_labels == (labels if task == "tag" else ())
    if bundle.head is None:
        assert task in ("embed", "tag")
        return
    assert bundle.head.labels == labels
    assert bundle.head.problem_type == (problem_type or "single_label_classification")
