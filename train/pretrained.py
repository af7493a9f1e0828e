"""Weights that someone else has trained, for recipes that start from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError

IMAGENET, NONE = "imagenet", "none"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where a network's first weights come from.

    `source` is `imagenet` (those that keras.applications downloads), `none` (random ones), or the path of
    a Keras weights file of the same network without its classifier. `licence` and `citation` are those of
    the ImageNet weights.
    """

    source: str = IMAGENET
    licence: str = "unknown"
    citation: str = "unknown"

    def application(self, make: Callable[..., Any], **settings: Any) -> Any:
        """A network of keras.applications, such as `keras.applications.MobileNetV2`, with these weights.

        Args:
            make: its constructor; called with `include_top=False` and `settings`.

        Raises:
            InputError: the weights cannot be downloaded or read, or are those of another network.
        """
        if self.source == IMAGENET:
            try:
                return make(include_top=False, weights=IMAGENET, **settings)
            except Exception as failure:  # urllib, socket, hashes: whatever the download met
                raise InputError(
                    f"cannot download the ImageNet weights of {make.__name__} ({type(failure).__name__}); "
                    "give a file of them with --weights PATH, or start from random ones with --weights none"
                ) from failure
        model = make(include_top=False, weights=None, **settings)
        if self.source != NONE:
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


def _load(model: Any, network: str, path: Path) -> None:
    import h5py

    if not path.is_file():
        raise InputError(f"expected a Keras weights file for --weights, got {path}, which is no file")
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
