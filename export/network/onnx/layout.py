"""Which way an ONNX file takes an image: its channels first or last, or its pixels in a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.model import Model
from edgewright.export.network.onnx import graphs
from edgewright.export.network.onnx.reading import OnnxFile
from edgewright.runtime.errors import ExportError

_MOST_SIDE = 2**14  # pixels; as `InputContract` has it
_MOST_STEPS = 32  # from the image to its first convolution
_ONE_BY_ONE = ("Add", "Cast", "Clip", "Div", "Identity", "Mul", "Pad", "Sub")  # channels stay where they are


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`shape` is that of an image as Edgewright has it, (height, width, channels); the network takes it with
    its channels first, or reshaped to `rest`. `batch` is how many images it takes, None: any number."""

    shape: tuple[int, int, int]
    batch: int | None
    channels_first: bool
    rest: tuple[int, ...]

    def arranged(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images `(n, height, width, channels)` as the network takes them."""
        if self.channels_first:
            return np.ascontiguousarray(np.moveaxis(images, -1, 1))
        return images.reshape(len(images), *self.rest)


def layout(file: OnnxFile, model: Model) -> Layout:
    """Raises `ExportError`: the input is no image, or it does not say which way it takes one."""
    dims, name = file.dims, file.input
    batch, rest = dims[0] if dims else None, dims[1:]
    first = False
    match len(dims):
        case 4:
            first, channels = _channels(file)
            height, width = model.closed(name, *(rest[1:] if first else rest[:2]))
        case 3 if rest[1] not in (1, 3):
            height, width = model.closed(name, *rest)
            channels = 1
        case 2:
            height, width, channels = _of_row(model, name, rest[0])
        case _:
            raise ExportError(_unknown(file))
    if max(height, width) > _MOST_SIDE:
        raise ExportError(f"expected images of at most {_MOST_SIDE} pixels a side, got {height}x{width}")
    shape = (height, width, channels)
    in_order = {2: (height * width * channels,), 3: (height, width), 4: shape}
    return Layout(shape=shape, batch=batch, channels_first=first, rest=in_order[len(dims)])


def _unknown(file: OnnxFile) -> str:
    got = ", ".join("?" if size is None else str(size) for size in file.dims)
    return (
        "expected an image input (batch, 1 or 3 channels, height, width), (batch, height, width, 1 or 3 "
        f"channels) or (batch, pixels), got '{file.input}' ({got}); save the model with its channels fixed"
    )


def _channels(file: OnnxFile) -> tuple[bool, int]:
    """Whether the channels come first, and how many there are."""
    _, first, _, last = file.dims
    if first in (1, 3) and last not in (1, 3):
        return True, first
    if last in (1, 3) and first not in (1, 3):
        return False, last
    found = _by_first_convolution(file)
    if found is None or found[1] not in (1, 3) or (first if found[0] else last) not in (None, found[1]):
        raise ExportError(_unknown(file))
    return found


def _by_first_convolution(file: OnnxFile) -> tuple[bool, int] | None:
    """As `_channels`, of the first convolution that the image reaches: ONNX's take channels first."""
    graph = file.model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    value, turned = file.input, False
    for _ in range(_MOST_STEPS):
        node = next((n for n in graph.node if value in graphs.read_by(n)), None)
        if node is None:
            return None
        if node.op_type == "Transpose" and not turned:
            turned = [list(a.ints) for a in node.attribute if a.name == "perm"] == [[0, 3, 1, 2]]
            if not turned:
                return None
        elif node.op_type == "Conv" and node.input[0] == value and node.input[1] in constants:
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            dims = constants[node.input[1]].dims
            return (not turned, dims[1] * groups) if len(dims) == 4 else None
        elif node.op_type not in _ONE_BY_ONE:
            return None
        value = node.output[0]
    return None


def _of_row(model: Model, name: str, pixels: int | None) -> tuple[int, int, int]:
    """Height, width and channels of an image whose pixels the network takes in a row."""
    if pixels is None:
        raise ExportError(
            f"expected a number of pixels, got '{name}', which leaves it open; save it with one"
        )
    if model.size is None:
        sides = [round((pixels / channels) ** 0.5) for channels in (1, 3)]
        right = [s for s, channels in zip(sides, (1, 3), strict=True) if s * s * channels == pixels]
        example = f"{right[0]}x{right[0]}" if right else "28x28"
        raise ExportError(
            f"expected the size of the images whose {pixels} pixels '{name}' takes in a row; add --size such "
            f"as {example}"
        )
    height, width = model.size
    if pixels not in (height * width, 3 * height * width):
        raise ExportError(
            f"expected --size of images of {pixels} pixels, grey or three a colour, as '{name}' takes, got "
            f"{height}x{width}"
        )
    return height, width, pixels // (height * width)
