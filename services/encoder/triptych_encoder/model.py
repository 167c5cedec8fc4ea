"""A bundle made ready to run: verified, loaded, held against its golden vectors, warmed up."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from triptych_bundles.errors import BundleError
from triptych_bundles.golden import read_golden
from triptych_bundles.manifest import Bundle
from triptych_bundles.verifying import verify_files
from triptych_encoder.backend import Backend
from triptych_encoder.choosing import Chosen, choose, open_beside
from triptych_encoder.cost import CostModel
from triptych_encoder.gate import graph_of
from triptych_encoder.lane import Lane
from triptych_encoder.outputs import output_widths
from triptych_encoder.runtime_metrics import Serving
from triptych_encoder.runtimes import Candidates

CONFIG: Final = "config.json"

FindCosts = Callable[[Bundle, str, Backend], CostModel]


@dataclass(frozen=True, slots=True)
class EncoderModel:
    """What the servicer needs of a model."""

    name: str
    lane: Lane
    max_length: int
    widths: Mapping[str, int]
    """Numbers a row, by output."""
    vocab_size: int
    type_vocab_size: int | None
    """None where token types say nothing: the graph does not read them, or knows only one."""
    pooling: str
    serving: Serving
    open_alone: Callable[[], Backend | None] = lambda: None
    """Opens what makes the runs of `lane` that are alone; takes as long as loading does."""


def load_model(bundle: Bundle, runtimes: Candidates, find_costs: FindCosts) -> EncoderModel:
    """Load a bundle. Raises BundleError, naming the file, where it may not serve."""
    candidates = runtimes.candidates(bundle)
    graphs = dict.fromkeys(graph_of(bundle, runtime) for runtime in candidates)
    verify_files(bundle, [*graphs, CONFIG, bundle.golden.vectors, bundle.golden.texts])
    golden, type_vocab_size = read_golden(bundle), _type_vocab_size(bundle)
    chosen = choose(bundle, golden, candidates)
    backend = chosen.backend
    try:
        costs = find_costs(bundle, graph_of(bundle, chosen.runtime), backend)
    except BaseException:
        backend.close()
        raise
    return EncoderModel(
        name=bundle.name,
        lane=Lane(backend, bundle.max_length, costs),
        open_alone=partial(open_beside, bundle, golden, chosen),
        max_length=bundle.max_length,
        widths=output_widths(bundle, backend.outputs),
        vocab_size=bundle.vocab_size,
        type_vocab_size=type_vocab_size if backend.reads_token_types else None,
        pooling=bundle.pooling,
        serving=_serving(bundle, chosen),
    )


def _serving(bundle: Bundle, chosen: Chosen) -> Serving:
    runtime = chosen.runtime
    return Serving(bundle.identity, runtime.engine, runtime.precision, chosen.speedup)


def _type_vocab_size(bundle: Bundle) -> int | None:
    path = bundle.file(CONFIG)
    try:
        config = json.loads(path.read_bytes())
        # RoBERTa's relatives have one type, and some of their tokenizers give a second text another
        # all the same: as in transformers, which does not pass it on, it says nothing
        if config.get("type_vocab_size") == 1:
            return None
        return int(config.get("type_vocab_size", 1))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
