"""What a loaded network takes and gives: which of its inputs is the image, which output the scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgewright.export.network.model import Model
from edgewright.runtime.errors import ExportError

Shape = Sequence[int | None]
Value = TypeVar("Value")

_INTEGERS = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")  # that hold 0 to 255


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A float network in memory, not training.

    `call` maps a float32 batch `(n, height, width, channels)`, scaled as the network wants it, to its scores;
    `shape` is that of one image; `batch` the only batch size it takes, or None; `held` keeps its variables
    alive for a converter; `layers` are the names a user knows its layers by. `unrolled` is `call` without
    loops over time steps, where they can be written out; it raises `ExportError` where they cannot.
    `lets_through` names what the file does beside computing, which the user has let it.
    """

    call: Callable[[Any], Any]
    shape: tuple[int, int, int]
    batch: int | None
    held: Any
    layers: Collection[str]
    input: str
    output: str
    unrolled: Callable[[Any], Any]
    lets_through: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The input that takes the image; `shape` is (height, width, channels), whatever order it has them in."""

    name: str
    shape: tuple[int, int, int]
    dtype: str
    channels_first: bool

    @property
    def is_integer(self) -> bool:
        return self.dtype in _INTEGERS

    def of(self, image: Any) -> Any:
        """A float32 batch `(n, height, width, channels)` as this input takes it."""
        import tensorflow as tf

        ordered = tf.transpose(image, (0, 3, 1, 2)) if self.channels_first else image
        return tf.cast(ordered, self.dtype)


def image_input(model: Model, name: str, shape: Shape | None, dtype: str) -> ImageInput:
    """See that the input is an image's, its open ends closed by `model.size`. Raises `ExportError`."""
    if not dtype.startswith(("float", "bfloat")) and dtype not in _INTEGERS:
        raise ExportError(f"expected a float image input, got '{name}' of {dtype}")
    last = shape is not None and len(shape) == 4 and shape[3] in (1, 3)
    if shape is None or len(shape) != 4 or not (last or shape[1] in (1, 3)):
        got = "one of unknown rank" if shape is None else str(tuple(shape))
        raise ExportError(
            "expected an image input (batch, height, width, 1 or 3 channels), or with the channels first, "
            f"got '{name}' {got}"
        )
    height, width, channels = shape[1:] if last else (shape[2], shape[3], shape[1])
    height, width = model.closed(name, height, width)
    as_it_is = {*model.normalization.factor} == {1.0} and {*model.normalization.offset} == {0.0}
    if dtype in _INTEGERS and not as_it_is:
        raise ExportError(
            f"expected --input-range 0..255 with input '{name}' of {dtype}, which takes pixels as they are, "
            "got another scaling"
        )
    return ImageInput(
        name=name,
        shape=(height, width, channels or 0),
        dtype=dtype,
        channels_first=not last,
    )


def only(what: str, by_name: Mapping[str, Value]) -> Value:
    """The one input or output there is. Raises `ExportError`: there is none, or several."""
    if len(by_name) != 1:
        raise ExportError(f"expected a network with one {what}, got {len(by_name)}: {_listed(by_name)}")
    return next(iter(by_name.values()))


def chosen_output(model: Model, names: Sequence[str]) -> int:
    """Which of the outputs called `names` gives the scores: the one `model.output` names, or the only one.

    Outputs of one name are told apart by their place: `head:0`, `head:1`.

    Raises:
        ExportError: there are several, or none of that name.
    """
    known = [
        f"{name}:{names[:i].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)
    ]
    if model.output in known:
        return known.index(model.output)
    if model.output is not None:
        raise ExportError(
            f"expected --output {' or '.join(sorted(known))}, got '{model.output}', which is none"
        )
    if len(known) != 1:
        raise ExportError(
            f"expected a network with one output, got {len(known)}: {_listed(known)}; "
            "say with --output NAME which one gives the scores"
        )
    return 0


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
