"""Batches follow from seed and epoch: another order each epoch, the same again for a run that goes on."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgewright.runtime.contract.heads import Head
from edgewright.train import recipe
from edgewright.train.fitting.batches import batches


class PyDataset:
    """All that is taken of Keras' own."""

    def __init__(self, *, workers: int) -> None:
        assert workers == 1


KERAS = SimpleNamespace(utils=SimpleNamespace(PyDataset=PyDataset))


def of(seed: int = 0, first_epoch: int = 0) -> Any:
    """Twenty examples, their own numbers, in batches of eight."""
    eights = dataclasses.replace(recipe.get("fashion-mlp"), batch_size=8, augment=None)
    examples, head = np.arange(20), Head(kind="softmax", count=10)
    return batches(KERAS, eights, lambda x: x, examples, examples % 10, head, seed, first_epoch)


def shown(given: Any) -> list[int]:
    found: list[int] = np.concatenate([given[i][0] for i in range(len(given))]).tolist()
    return found


def test_batches_show_every_example_once_in_another_order_each_epoch() -> None:
    given = of()
    orders = []
    for _ in range(4):
        assert [len(given[i][0]) for i in range(len(given))] == [8, 8, 4]
        orders.append(tuple(shown(given)))
        given.on_epoch_end()
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({*orders}) == 4


def test_batches_of_an_epoch_are_the_same_for_a_run_that_goes_on_and_others_for_another_seed() -> None:
    whole = of()
    whole.on_epoch_end()
    assert shown(of(first_epoch=1)) == shown(whole)
    assert shown(of(seed=1, first_epoch=1)) != shown(whole)


def test_batches_keep_each_example_with_its_label() -> None:
    given = of(seed=3)
    for i in range(len(given)):
        examples, labels = given[i]
        np.testing.assert_array_equal(labels, examples % 10)
