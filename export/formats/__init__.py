"""File formats behind one seam: a format is a file here that sets `FORMAT`.

A format turns the float network into a file by one of its schemes and puts the contract into the
file. It runs in a child process that has what reads the model; nothing heavy is imported before that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgewright.export.weights.summary import Weights
from edgewright.runtime import plugins
from edgewright.runtime.contract import ModelContract
from edgewright.train.datasets import Images

if TYPE_CHECKING:
    from edgewright.export.network.float_network import FloatNetwork

# What it is given is a network of a kind that its format takes.
Convert: TypeAlias = Callable[[Any, Images], tuple[Any, dict[str, Any]]]
# Changes an 8-bit model and says what it did; or leaves it as it was, its change taken back, and gives None.
Refinement: TypeAlias = Callable[[Any, "Context"], str | None]

# The layer that gives the scores stays in float32 where it holds few of the weights. Measured on
# fashion-mlp (1.3 % of its weights, +3.5 % bytes, no time): agreement with the float model .9990
# instead of .9905 (onnx-int8), .9985 instead of .9965 (tflite-dynamic-int8).
SMALL_CLASSIFIER = 0.05
WHY_FLOAT_CLASSIFIER = (
    f"holds at most {SMALL_CLASSIFIER:.0%} of the weights and decides between close classes"
)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How numbers are stored and computed: all that is said of a scheme, in one place.

    `convert(network, calibration images)` gives the model as its format goes on with it, and what was chosen;
    `tool` is what does so, where the format alone does not say it. `arithmetic` is what files mostly compute
    with, `int8` or `float32`. Of a bundle's files the one of the lowest `rank` is recommended, then the
    smallest: int8 is the fastest with every kind of layer, while int16x8 and 4-bit weights are small but up
    to fifty times slower. `default` schemes are written unless others are asked for; `calibrated` ones need
    sample images. Of a slow scheme the gate sees `most_samples` test images,
    drawn at random; None: all of them. A static scheme that `edgewright.export.repair` can mend has a
    `quantizer` that makes its models of a network and calibration images; with `mixed` ones, operators may
    stay in float32, and they are written where without that too much is lost, or by name.
    """

    summary: str
    convert: Convert
    arithmetic: str = "float32"
    rank: int = 5
    default: bool = False
    calibrated: bool = False
    most_samples: int | None = None
    tool: str = ""
    quantizer: Callable[[Any, Images], Quantizer] | None = None
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What is done to a static 8-bit model beyond the plain conversion: layers `equalized` first, `ranges` of
    activations of least squared error instead of all that was seen, weights `rounded` for the least error of
    what layers give, operators left `free` in float32, by `Operation.name`."""

    equalized: bool = False
    ranges: bool = False
    rounded: bool = False
    free: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operator of the float network that may stay in float32, or does so anyway (`fixed`): its `kind`, how
    many multiplications of a convolution or dense layer it is an image, whether it only `moves` numbers, and
    the tensors it reads and writes."""

    name: str
    kind: str
    products: int
    moves: bool
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    fixed: bool = False


class Quantizer(Protocol):
    """Makes a scheme's models of one network again and again; what they have in common is done once."""

    @property
    def operations(self) -> Sequence[Operation]: ...

    def model(self, remedy: Remedy, *, refined: bool = True) -> tuple[Any, dict[str, Any]]:
        """As `Convert`; not `refined` ones come sooner and are for comparing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a refinement may look at and not change: the network, its `float32` model as the format has it,
    training images, uint8 `(n, height, width, channels)`, and these as that model takes them, where it does
    not take pixels (`scaled`)."""

    network: FloatNetwork
    float32: Any
    calibration: Images
    scaled: Any = None

    @property
    def shown(self) -> Any:
        """The images for the float32 model."""
        return self.calibration if self.scaled is None else self.scaled


def refine(model: Any, refinements: Mapping[str, Refinement], context: Context) -> dict[str, str]:
    """Have the refinements change the model, one after the other; what each says it did, by its name."""
    notes = {name: refinement(model, context) for name, refinement in refinements.items()}
    return {name: note for name, note in notes.items() if note}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How a file was made: `tool` with its version, and what was `chosen`, with reasons; `not_for_gpu` is why
    phones' GPUs are known to compute it wrongly, empty if they are not."""

    tool: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    not_for_gpu: str = ""


class Format(Protocol):
    """A kind of model file.

    `schemes` by their names, in the order they are shown; `modules` are the packages it imports, and `takes`
    says which kinds of models it is made of (see `edgewright.export.network.model`), with what each of them
    imports.
    """

    suffix: str
    modules: tuple[str, ...]
    takes: Mapping[str, tuple[str, ...]]
    schemes: Mapping[str, Scheme]

    def export(self, network: Any, scheme: str, calibration: Images, path: Path) -> Conversion:
        """Write the file that takes raw pixels; the same network and images give the same bytes.

        Args:
            network: the float network, of a kind that the format takes.
            scheme: one of `schemes`.
            calibration: uint8 `(n, height, width, channels)` training images.
            path: where to write.
        """
        ...

    def weights(self, path: Path) -> Weights:
        """The convolution and dense kernels in the file at `path`."""
        ...

    def attach(self, path: Path, contract: ModelContract) -> None:
        """Put the contract, stamped with the file's SHA-256, into the file at `path`."""
        ...


class Mendable(Format, Protocol):
    """A format with a scheme that has a `quantizer`."""

    def write(
        self, network: Any, scheme: str, converted: tuple[Any, dict[str, Any]], path: Path
    ) -> Conversion:
        """Write what a scheme's `convert`, or its quantizer, has given; the last step of `export`."""
        ...


def names() -> tuple[str, ...]:
    return plugins.names(__name__)


def get(name: str) -> Format:
    """Raises `UnknownNameError`."""
    chosen: Format = plugins.get(__name__, name, "FORMAT")
    return chosen
