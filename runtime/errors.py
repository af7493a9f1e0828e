"""Everything Edgewright raises on purpose. Messages say what was expected, what came, what to do.

EdgewrightError
├── InputError            a path, option or value that cannot be used
│   ├── UnknownNameError  no recipe, variant, data set, ... of that name
│   ├── ImageError        a picture that cannot be decoded
│   └── DataError         a data set that cannot be used
├── ModelFileError        not a model file, damaged, or without a contract
├── BundleError           a bundle whose manifest or files are not what they should be
│   └── SignatureError    one that is not as whoever is trusted has signed it
├── CheckpointError       a checkpoint folder that cannot be used
├── TrainingError         a training that cannot go on
├── BridgeError           a Keras 3 model that tf_keras cannot be given
├── OutputError           the place to write to is taken or cannot be written
├── ExportError           a conversion that failed, or a variant the gate left out
├── TargetError           a place to measure that cannot be set up here, or failed
└── MissingExtraError     a package that an optional extra would install

UnprovenWarning           no error: a file is opened that is not proven
"""

from __future__ import annotations

from collections.abc import Iterable


class EdgewrightError(Exception):
    """Base of the tree; `str()` of it is one line fit for a terminal."""


class InputError(EdgewrightError):
    """A path, option or value that cannot be used."""


class UnknownNameError(InputError):
    """A name that is not among the known ones; the nearest known one is suggested."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self._given = (kind, name, tuple(known))
        import difflib

        names = sorted(self._given[2])
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        super().__init__(f"unknown {kind} '{name}'; {hint}known: {', '.join(names) or 'none'}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._given  # errors of worker processes travel


class ImageError(InputError):
    """A picture that cannot be decoded."""


class DataError(InputError):
    """A data set that cannot be used."""


class ModelFileError(EdgewrightError):
    """Not a model file, a damaged one, or one that carries no contract."""


class BundleError(EdgewrightError):
    """A bundle whose manifest or files are not what they should be."""


class SignatureError(BundleError):
    """A bundle that is not signed by whom it has to be, or not as it was signed."""


class CheckpointError(EdgewrightError):
    """A checkpoint folder that cannot be used."""


class TrainingError(EdgewrightError):
    """A training that cannot go on, such as one whose loss is no number."""


class BridgeError(EdgewrightError):
    """A Keras 3 model that tf_keras cannot be given, or gives other scores for."""


class OutputError(EdgewrightError):
    """The place to write to is taken or cannot be written."""


class ExportError(EdgewrightError):
    """A conversion that failed, or a variant that the gate left out."""


class TargetError(EdgewrightError):
    """A place to measure that cannot be set up here, or failed."""


class MissingExtraError(EdgewrightError):
    """A package is missing that one of the optional extras installs."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'edgewright[{extra}]'")
        self._given, self.extra = (what, extra), extra

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._given


class UnprovenWarning(UserWarning):
    """A file is opened that was written though it is not proven equal enough to its model."""
