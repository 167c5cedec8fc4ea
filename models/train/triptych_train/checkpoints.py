"""Checkpoints appear whole or not at all; training goes on from one as if it had never stopped."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from triptych_models.errors import TrainingDataError

FILE = "checkpoint.pt"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write beside, make sure that it is on the disk, then take the old one's place."""
    beside = folder / f".{FILE}.part"
    with beside.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(folder / FILE)


def load(folder: Path, fingerprint: str) -> Mapping[str, Any] | None:
    """What was saved last; None where nothing was.

    TrainingDataError where it is another training's: another recipe, other data or another device.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    # only tensors and plain values: a checkpoint runs no code
    state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        reason = "is of another recipe, other data or another device: --fresh begins anew"
        raise TrainingDataError(f"--work: its checkpoint {reason}")
    return state


def discard(folder: Path) -> None:
    """Begin anew."""
    (folder / FILE).unlink(missing_ok=True)
