"""Which tokens of an item are kept: truncation and windows, for a whole batch at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_tokenizer.options import Truncation
from triptych_tokenizer.ragged import run_indices

Lengths = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cuts:
    """The runs of tokens that become S sequences."""

    item: Lengths
    """[S]: the item each comes from, ascending"""
    starts: Lengths
    """[S, 2]: first token kept of the item's first and second text"""
    lengths: Lengths
    """[S, 2]: tokens kept of them"""


def cut(lengths: Lengths, room: Lengths, truncation: Truncation, stride: int) -> Cuts:
    """Cut items of `lengths` [N, 2] to `room` [N] tokens, special tokens not counted.

    With ERROR everything must fit; with WINDOW no item has a second text.
    """
    if truncation is Truncation.WINDOW:
        return _windows(lengths[:, 0], room, stride)
    # most batches fit as they are
    fit = bool((lengths.sum(axis=1) <= room).all())
    kept = lengths if fit else longest_first(lengths, room)
    starts = lengths - kept if truncation is Truncation.LEFT else np.zeros_like(kept)
    return Cuts(np.arange(len(lengths)), starts, kept)


def longest_first(lengths: Lengths, room: Lengths) -> Lengths:
    """[N, 2]: tokens kept of both texts, by the rule of the same name in transformers.

    The longer text gives until both are equal, then both halve the room; the odd token belongs to
    the longer one, to the second where they are equal. A single text gives all by itself.
    """
    short, total = lengths.min(axis=1), lengths.sum(axis=1)
    halve = short > room - short
    kept_short = np.where(halve, room // 2, short)
    kept_long = np.where(halve, room - room // 2, room - short)
    first_is_longer = lengths[:, 0] > lengths[:, 1]
    first = np.where(first_is_longer, kept_long, kept_short)
    second = np.where(first_is_longer, kept_short, kept_long)
    kept = np.stack([first, second], axis=1)
    fits = total <= room
    kept[fits] = lengths[fits]
    return kept


def window_counts(lengths: Lengths, room: Lengths, stride: int) -> Lengths:
    """[N]: windows of `room` tokens, each `room - stride` after the last, that cover a text."""
    beyond = np.maximum(lengths - room, 0)
    counts: Lengths = 1 - (-beyond // (room - stride))  # rounded up
    return counts


def _windows(lengths: Lengths, room: Lengths, stride: int) -> Cuts:
    counts = window_counts(lengths, room, stride)
    item = np.repeat(np.arange(len(lengths)), counts)
    starts = run_indices(np.zeros_like(counts), counts) * (room - stride)[item]
    kept = np.minimum(room[item], lengths[item] - starts)
    nothing = np.zeros_like(starts)
    return Cuts(item, np.stack([starts, nothing], axis=1), np.stack([kept, nothing], axis=1))
