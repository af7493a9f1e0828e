"""A model file as the steps it computes in, whatever its format: what can be seen, cut and disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]

CONVOLUTION, DEPTHWISE, DENSE = "convolution", "depthwise", "dense"
LAYERS = (CONVOLUTION, DEPTHWISE, DENSE)
_OFF = 0.02  # scales are floats of 32 bits, and products of them rounded


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The numbers that an integer tensor can say: `(q - zero_point) * scale` for each q of `dtype`."""

    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def floats(self, values: Values) -> Floats:
        result: Floats = (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
        return result

    def nearest(self, floats: Floats) -> Values:
        ends = np.iinfo(self.dtype)
        steps = np.round(floats.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(steps, ends.min, ends.max).astype(self.dtype)

    @property
    def ends(self) -> tuple[float, float]:
        limits = np.iinfo(self.dtype)
        low, high = (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale
        return low, high


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operator with what is fused to it, an activation function or a bias.

    `value` is the format's key of what it gives, on `grid` if that is integers; `operator` is as the format
    calls it, `kind` as all do; `label` says which in the file, `names` are what tensors of it are called;
    `weights` are its constant kernel as floats. `misread` is the value of a step in front of it whose scale
    or zero point is another one there than here, such as in the scale of a bias. `dtype` is that of the value
    if it is floats.
    """

    value: Any
    operator: str
    kind: str
    label: str
    names: tuple[str, ...] = ()
    grid: Grid | None = None
    weights: Floats | None = field(default=None, repr=False)
    misread: Any = None
    dtype: str = "float32"

    def floats(self, values: Values) -> Floats:
        if self.grid is not None:
            return self.grid.floats(values)
        return values.astype(np.float32, copy=False)

    def nearest(self, floats: Floats) -> Values:
        """`floats` as this step can say them."""
        return floats.astype(self.dtype, copy=False) if self.grid is None else self.grid.nearest(floats)


# From raw pixels uint8 `(1, height, width, channels)` to what a file takes.
Prepare: TypeAlias = Callable[[Values], Values]


class Run(Protocol):
    """A file, or a changed one, ready to run: from raw pixels and what else it is given to the values that
    were asked for."""

    def __call__(self, pixels: Values, given: Mapping[Any, Values]) -> list[Values]: ...


class Network(Protocol):
    """A model file. `kernels` are the ways it can be run, the first the one that devices take; `steps` stand
    in the order they run; `scores_grid` is that of the scores, None if they are floats."""

    kernels: tuple[str, ...]
    steps: Sequence[Step]
    channels_last: bool
    scores_grid: Grid | None

    def whole(self, steps: Sequence[Step], kernels: str) -> Run:
        """Gives the values of `steps`, then the scores."""
        ...

    def cut(self, steps: Sequence[Step], kernels: str) -> Run:
        """Gives the values of `steps`, each computed from those given for the steps in front of it."""
        ...

    def disturbed(self, steps: Sequence[Step]) -> Run:
        """Gives the scores, with what is given for a step added to its value. For files of floats."""
        ...


def is_one_factor(ratios: Floats) -> bool:
    """Whether what should be 1 in every channel is some other number, the same in all."""
    middle = float(np.median(ratios))
    return abs(middle - 1) > _OFF and bool((np.abs(ratios / middle - 1) < _OFF).all())


def kind_of(operator: str) -> str:
    """The name that all formats share; empty for what only passes values on, or makes shapes."""
    return _KINDS.get(operator, "")


_KINDS = {
    **dict.fromkeys(("CONV_2D", "CONV_3D", "Conv", "ConvInteger", "QLinearConv"), CONVOLUTION),
    "DEPTHWISE_CONV_2D": DEPTHWISE,
    **dict.fromkeys(
        ("FULLY_CONNECTED", "BATCH_MATMUL", "Gemm", "MatMul", "MatMulInteger", "MatMulNBits"), DENSE
    ),
    **dict.fromkeys(("TRANSPOSE_CONV", "ConvTranspose"), "transposed convolution"),
    **dict.fromkeys(("ADD", "Add", "ADD_N", "Sum"), "add"),
    **dict.fromkeys(("SUB", "Sub"), "subtract"),
    **dict.fromkeys(("MUL", "Mul"), "multiply"),
    **dict.fromkeys(("DIV", "Div"), "divide"),
    **dict.fromkeys(("CONCATENATION", "Concat"), "concatenate"),
    **dict.fromkeys(("MEAN", "GlobalAveragePool", "ReduceMean"), "mean"),
    **dict.fromkeys(("AVERAGE_POOL_2D", "AveragePool"), "average pool"),
    **dict.fromkeys(("MAX_POOL_2D", "MaxPool", "GlobalMaxPool", "REDUCE_MAX", "ReduceMax"), "max pool"),
    **dict.fromkeys(("SUM", "ReduceSum"), "sum"),
    **dict.fromkeys(("SOFTMAX", "Softmax"), "softmax"),
    **dict.fromkeys(("LOGISTIC", "Sigmoid"), "sigmoid"),
    **dict.fromkeys(("TANH", "Tanh"), "tanh"),
    **dict.fromkeys(("HARD_SWISH", "HardSwish"), "hard-swish"),
    **dict.fromkeys(("HardSigmoid",), "hard-sigmoid"),
    **dict.fromkeys(("GELU", "Gelu"), "gelu"),
    **dict.fromkeys(("ELU", "Elu"), "elu"),
    **dict.fromkeys(("EXP", "Exp"), "exp"),
    **dict.fromkeys(("PRELU", "PRelu", "LEAKY_RELU", "LeakyRelu"), "leaky relu"),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "Relu", "Clip"), "relu"),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "Resize"), "resize"),
    **dict.fromkeys(("BatchNormalization",), "batch normalization"),
    **dict.fromkeys(("L2_NORMALIZATION", "LpNormalization"), "normalize"),
}
