"""Passes behind one seam: what makes a network smaller by training it on, a file here that sets `PASS`.

A pass wraps layers of a tf_keras model, has it fine-tuned, and takes the wrappers off again. Written in
front of a variant, `prune80+cluster16+qat+tflite-int8`, passes run from left to right, each on what the
one before has left. They run in a child process that has TFMOT
(`edgewright.export.finetuning.child`); nothing heavy is imported before that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewright.runtime import plugins
from edgewright.runtime.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

SEPARATOR = "+"


class Pass(ABC):
    """A family of passes, such as `prune` with `prune50` and `prune2x4`; each states what differs from this.

    `examples` are names it takes, for messages; `rank` is its place in a chain: a pass undoes what one of a
    higher rank has left. `only` are the variants it is for (empty: all), for the reason `why_only`.
    `fake_quantizes` says that its model stays one of tf_keras and holds the ranges of 8-bit numbers,
    `labelled` that it learns from labels.
    """

    examples: tuple[str, ...]
    rank: int
    only: tuple[str, ...] = ()
    why_only = ""
    fake_quantizes = False
    labelled = True

    def takes(self, name: str) -> bool:
        """Whether `name` is one of the family. Raises `InputError`: one with a number that cannot be."""
        return name in self.examples

    def check(self, model: Any) -> None:  # noqa: B027  (most take any model)
        """Raises `InputError`: a tf_keras model that the pass is not for, with the reason."""

    @abstractmethod
    def apply(self, name: str, trainer: Trainer) -> Any:
        """Wrap `trainer.model`, have it fine-tuned, and take off what was wrapped.

        Returns:
            A tf_keras model; layers have the names they have in `trainer.model`, unless the pass
            `fake_quantizes`.
        """


def get(name: str) -> Pass:
    """The family of the pass `name`.

    Raises:
        UnknownNameError: none; the nearest name is suggested.
        InputError: a number that cannot be.
    """
    families = _families()
    for family in families:
        if family.takes(name):
            return family
    raise UnknownNameError("pass", name, [example for family in families for example in family.examples])


def is_one(name: str) -> bool:
    """Whether there is a pass `name`. Raises `InputError`: one with a number that cannot be."""
    return any(family.takes(name) for family in _families())


def check(chain: Sequence[str], variant: str) -> None:
    """See that the passes of `chain` can run in this order and before `variant` (`FORMAT-SCHEME`).

    Raises:
        UnknownNameError, InputError: as `get`; an order that undoes an earlier pass; a variant they are
            not for; none.
    """
    order = [get(name) for name in chain]
    for i in range(1, len(chain)):
        first, second = chain[i - 1 : i + 1]
        if order[i].rank == order[i - 1].rank:
            raise InputError(f"expected one of {first} and {second}, got both; leave one out")
        if order[i].rank < order[i - 1].rank:
            raise InputError(
                f"expected {second} before {first}, got {first}{SEPARATOR}{second}: {second} trains the "
                f"weights on and undoes what {first} has made of them"
            )
    if chain and not variant:
        raise InputError(
            f"expected a variant behind the passes, such as {SEPARATOR.join([*chain, 'tflite-int8'])}, got "
            f"{SEPARATOR.join(chain)}"
        )
    for name, family in zip(chain, order, strict=True):
        if family.only and variant not in family.only:
            raise InputError(
                f"expected {name} before {' or '.join(family.only)}, got it before {variant}: "
                f"{family.why_only}"
            )


def _families() -> list[Pass]:
    return [plugins.get(__name__, name, "PASS") for name in plugins.names(__name__)]
