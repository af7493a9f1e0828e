"""What a training run needs to go on after it was killed: weights, optimizer, random states, history.

Kept beside the checkpoint that is being made, in `.NAME.training`, one whole folder an epoch. Keras'
BackupAndRestore keeps neither the best weights so far nor the random states of dropout and
augmentation layers, so a run resumed from it ends elsewhere.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import InputError, OutputError
from edgewright.train.fitting import writing

_BEGUN = "begun.json"
_STATE, _LAST, _BEST, _RANDOM = "state.json", "last.weights.h5", "best.weights.h5", "random.npz"


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run is: `history` has a dict of figures an epoch, `best_epoch` counts from 1.

    `identity` names what was asked for; a run with another one does not go on from here.
    """

    identity: str
    history: list[dict[str, float]]
    best_epoch: int
    seconds: float


class Progress:
    """The folder beside `out` that holds the last whole epoch of a run."""

    def __init__(self, out: Path, identity: str) -> None:
        self.folder = out.absolute().with_name(f".{out.absolute().name}.training")
        self.identity = identity

    def begin(self) -> None:
        """Note that the run has begun: what was before is forgotten, and from here on it can be resumed."""
        self.remove()
        try:
            files.write_file(self.folder / _BEGUN, jsonio.dump({"identity": self.identity}))
        except OSError as failure:
            self.remove()
            raise OutputError(
                f"cannot write to {self.folder} ({failure.strerror}); is the disk full? Make room, or choose "
                "another --out"
            ) from failure

    def save(self, model: Any, state: State, *, is_best: bool) -> None:
        """Keep this epoch; the one before is removed once this one is whole."""
        before = self._latest()
        new = self.folder / "writing"
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir(parents=True)
            files.reserve(new, writing.bytes_of(model, model.optimizer.variables))
            model.save_weights(new / _LAST)
            if is_best or before is None:
                shutil.copyfile(new / _LAST, new / _BEST)
            else:
                (new / _BEST).hardlink_to(before / _BEST)
            np.savez(new / _RANDOM, *[v.numpy() for v in _random_states(model)])
            (new / _STATE).write_bytes(jsonio.dump(dataclasses.asdict(state)))
            new.rename(self.folder / f"epoch-{len(state.history):05}")
        except OSError as failure:
            shutil.rmtree(new, ignore_errors=True)
            cure = "add --resume" if before is not None else "start again"
            raise OutputError(
                f"cannot keep epoch {len(state.history)} in {self.folder} "
                f"({failure.strerror or 'HDF5 cannot write'}); is the disk full? Make room and {cure}"
            ) from failure
        if before is not None:
            shutil.rmtree(before)

    def check(self) -> State:
        """How far the run is that is to be resumed.

        Raises:
            InputError: there is nothing to resume, or it was another run.
        """
        state, begun = self.state(), self.folder / _BEGUN
        if state is None and begun.exists():  # cut off before an epoch was whole
            identity = jsonio.read(begun, InputError).text("identity")
            state = State(identity=identity, history=[], best_epoch=0, seconds=0.0)
        if state is None:
            raise InputError(
                f"expected a cut-off run in {self.folder} to resume, got none; leave out --resume"
            )
        if state.identity != self.identity:
            raise InputError(
                "expected --resume with the recipe, data, seed and epochs of the run that was cut off, "
                "got others; leave out --resume to start anew"
            )
        return state

    def restore(self, model: Any) -> None:
        """Bring a freshly built and compiled model to where the run was."""
        latest = self._latest()
        assert latest is not None  # `check` has seen it
        model.optimizer.build(model.trainable_variables)
        model.load_weights(latest / _LAST)
        with np.load(latest / _RANDOM, allow_pickle=False) as kept:
            for variable, name in zip(_random_states(model), kept.files, strict=True):
                variable.assign(kept[name])

    def state(self) -> State | None:
        """How far the run on disk is; None if there is none."""
        latest = self._latest()
        if latest is None:
            return None
        obj = jsonio.read(latest / _STATE, InputError)
        return obj.make(State, {"history": [entry.data for entry in obj.objects("history")]})

    def load_best(self, model: Any) -> None:
        """Put the best epoch's weights into a model of the same network."""
        latest = self._latest()
        assert latest is not None  # called after at least one epoch was saved
        model.load_weights(latest / _BEST)

    def remove(self) -> None:
        """Forget the run; it is finished or starts anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _latest(self) -> Path | None:
        return max(self.folder.glob("epoch-*"), default=None)


def _random_states(model: Any) -> list[Any]:
    """The variables of the model's random generators, which Keras does not save with the weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
