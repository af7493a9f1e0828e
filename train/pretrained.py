"""Weights that someone else has trained, and the networks they are for, for recipes that start from them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, UnknownNameError

IMAGENET, NONE = "imagenet", "none"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A network of keras.applications: what it wants pixels brought to (some do the rest themselves, inside),
    what its constructor is told, and who made it."""

    input_range: tuple[float, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    citation: str


_V3 = "Howard, Sandler, Chu and others: Searching for MobileNetV3, arXiv:1905.02244, 2019"
BASES: Mapping[str, Base] = {
    "MobileNetV2": Base(
        input_range=(-1.0, 1.0),
        citation="Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2, arXiv:1801.04381, 2018",
    ),
    "MobileNetV3Small": Base(
        input_range=(-1.0, 1.0), settings={"include_preprocessing": False}, citation=_V3
    ),
    "MobileNetV3Large": Base(
        input_range=(-1.0, 1.0), settings={"include_preprocessing": False}, citation=_V3
    ),
    "EfficientNetB0": Base(
        input_range=(0.0, 255.0), citation="Tan, Le: EfficientNet, arXiv:1905.11946, 2019"
    ),
    "EfficientNetV2B0": Base(
        input_range=(0.0, 255.0), citation="Tan, Le: EfficientNetV2, arXiv:2104.00298, 2021"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where a network's first weights come from.

    `source` is `imagenet` (those that keras.applications downloads), `none` (random ones), or the path of
    a Keras weights file of the same network without its classifier. `base` names the network, one of
    `BASES`, where a recipe leaves the choice of it. `licence` and `citation` are those of the ImageNet
    weights.
    """

    source: str = IMAGENET
    base: str = ""
    licence: str = "unknown"
    citation: str = "unknown"

    def of(self, base: str) -> Weights:
        """The same source for another base. Raises `UnknownNameError`."""
        name = {known.lower(): known for known in BASES}.get(base.lower())
        if name is None:
            raise UnknownNameError("base", base, BASES)
        return dataclasses.replace(
            self, base=name, licence=BASES[name].licence, citation=BASES[name].citation
        )

    def check(self) -> None:
        """See that a file of weights is there, before anything else is done. Raises `InputError`."""
        if self.source not in (IMAGENET, NONE) and not Path(self.source).is_file():
            raise InputError(
                f"expected imagenet, none or a Keras weights file for --weights, got {self.source}, which is "
                "no file"
            )

    def network(self, keras: Any, shape: tuple[int, int, int]) -> Any:
        """The network `base` from pixels in its `input_range` to a map of features, without random layers: a
        frozen base then gives the same for an image at all times. Raises as `application`."""
        base = BASES[self.base]
        made = self.application(getattr(keras.applications, self.base), input_shape=shape, **base.settings)
        if self.base == "EfficientNetB0" and self.source not in (IMAGENET, NONE):
            _divide_twice(made)

        def still(layer: Any) -> Any:
            config = layer.get_config()
            return type(layer).from_config(
                config | {"rate": 0.0} if "Dropout" in type(layer).__name__ else config
            )

        if not any("Dropout" in type(layer).__name__ for layer in made.layers):
            return made
        found = keras.models.clone_model(made, clone_function=still)
        found.set_weights(made.get_weights())
        for layer in found.layers:
            if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its weights
                layer.finalize_state()
        return found

    def application(self, make: Callable[..., Any], **settings: Any) -> Any:
        """A network of keras.applications, such as `keras.applications.MobileNetV2`, with these weights.

        Args:
            make: its constructor; called with `include_top=False` and `settings`.

        Raises:
            InputError: the weights cannot be downloaded or read, or are those of another network.
        """
        if self.source == IMAGENET:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter(
                        "ignore"
                    )  # Keras warns of sizes that the weights were not trained at
                    return make(include_top=False, weights=IMAGENET, **settings)
            except Exception as failure:  # urllib, socket, hashes: whatever the download met
                raise InputError(
                    f"cannot download the ImageNet weights of {make.__name__} ({type(failure).__name__}); "
                    "give a file of them with --weights PATH, or start from random ones with --weights none"
                ) from failure
        model = make(include_top=False, weights=None, **settings)
        if self.source != NONE:
            self.check()
            _load(model, make.__name__, Path(self.source))
        return model

    def record(self) -> dict[str, str]:
        """What a checkpoint says of them; nothing of random ones."""
        if self.source == NONE:
            return {}
        if self.source == IMAGENET:
            return {
                "name": "ImageNet, by keras.applications",
                "licence": self.licence,
                "citation": self.citation,
            }
        path = Path(self.source)
        return {
            "name": path.name,
            "sha256": files.sha256_of(path),
            "licence": "as stated where the file is from",
            "citation": self.citation,
        }


def _divide_twice(model: Any) -> None:
    """Have EfficientNet normalize as its ImageNet weights want it: Keras adds a layer that divides by the
    root of the deviation again only where it downloads them itself. Here it goes into the variance."""
    import numpy as np

    (layer,) = (layer for layer in model.layers if type(layer).__name__ == "Normalization")
    mean, variance, count = layer.get_weights()
    layer.set_weights([mean, variance * np.array([0.229, 0.224, 0.225], np.float32), count])
    layer.finalize_state()


def _load(model: Any, network: str, path: Path) -> None:
    import h5py

    try:
        with h5py.File(path) as file:
            found: list[str] = []
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as failure:
        raise InputError(
            f"expected weights of {network} without its classifier in {path}, got others "
            f"({' '.join(str(failure).split())[:120]})"
        ) from failure
    if len(found) != len(model.weights):  # Keras takes a file that holds more than the network asks for
        raise InputError(
            f"expected the {len(model.weights)} weights of {network} without its classifier in {path}, "
            f"got {len(found)}"
        )
