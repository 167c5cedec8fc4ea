"""The order of batches: each row once an epoch, similar lengths together, and from any step on."""

import numpy as np

from triptych_train.batches import Order

LENGTHS = [int(length) for length in np.random.default_rng(1).integers(3, 60, 501)]


def test_every_row_comes_once_an_epoch() -> None:
    order = Order(LENGTHS, batch_size=8, seed=0)
    epoch = order.epoch(0)
    assert len(epoch) == order.per_epoch
    assert sorted(row for batch in epoch for row in batch) == list(range(len(LENGTHS)))
    assert order.epoch(1) != epoch == Order(LENGTHS, 8, 0).epoch(0) != Order(LENGTHS, 8, 1).epoch(0)


def test_little_is_padding() -> None:
    batches = Order(LENGTHS, batch_size=8, seed=0).epoch(0)
    area = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)
    assert area < 1.15 * sum(LENGTHS)


def test_it_goes_on_from_any_step() -> None:
    order = Order(LENGTHS, batch_size=8, seed=0)
    whole = list(order.from_step(0, 3))
    assert len(whole) == 3 * order.per_epoch
    for step in (1, order.per_epoch - 1, order.per_epoch, 2 * order.per_epoch + 5):
        assert list(order.from_step(step, 3)) == whole[step:]
