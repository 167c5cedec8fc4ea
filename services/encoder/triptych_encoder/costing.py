"""Where a model's costs come from: the settings, an earlier measurement, or one made now."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from triptych_bundles.manifest import Bundle
from triptych_encoder import processor
from triptych_encoder.backend import Backend
from triptych_encoder.calibration import measure
from triptych_encoder.cost import CostModel
from triptych_encoder.settings import Batching

logger = logging.getLogger(__name__)

# Of the name that a measurement is filed under, in hex digits: enough that no two ever meet.
NAME_DIGITS: Final = 32


class Costing:
    """Finds what runs of a model cost on this machine."""

    def __init__(self, batching: Batching, workers: int) -> None:
        self._given = batching.run_overhead_tokens
        self._longest = batching.max_batch_tokens
        self._folder = Path(batching.cost_cache) if batching.cost_cache else None
        self._workers = workers
        self._known: dict[str, CostModel] = {}

    def __call__(self, bundle: Bundle, graph: str, backend: Backend) -> CostModel:
        """The costs of `backend`, which runs this graph of a bundle."""
        if self._given:
            return backend.cost_model(self._given)
        conditions = {
            "graph": bundle.record(graph).sha256,
            "backend": backend.description,
            "processor": processor.name(),
            "workers": self._workers,
        }
        name = sha256(json.dumps(conditions).encode()).hexdigest()[:NAME_DIGITS]
        costs = self._known.get(name) or self._read(name, backend.cost_model)
        if costs is None:
            costs = self._measure(bundle, backend)
            self._write(name, conditions, costs)
        self._known[name] = costs
        return costs

    def _measure(self, bundle: Bundle, backend: Backend) -> CostModel:
        longest = min(bundle.max_length, self._longest or backend.cost_model.batch_tokens)
        first = list(bundle.outputs)[:1]
        costs = measure(backend, first, self._workers, longest, bundle.vocab_size - 1)
        rate = self._workers / costs.seconds_per_token
        logger.info(
            "measured what runs of a model cost",
            extra={
                "model": bundle.identity,
                "run_overhead_tokens": round(costs.call_tokens, 1),
                "tokens_per_second": round(rate),
            },
        )
        return costs

    def _read(self, name: str, kind: type[CostModel]) -> CostModel | None:
        if self._folder is None:
            return None
        try:
            found = json.loads((self._folder / f"{name}.json").read_bytes())["costs"]
            return kind(float(found["call_tokens"]), float(found["seconds_per_token"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never measured, or by another release: measure again

    def _write(self, name: str, conditions: Mapping[str, Any], costs: CostModel) -> None:
        if self._folder is None:
            return
        record = {"conditions": conditions, "costs": asdict(costs)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
        except OSError as error:
            logger.warning(
                "cannot keep what runs cost; the next start measures again",
                extra={"reason": error.strerror},
            )
