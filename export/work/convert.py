"""The converting child: the only process of an export that has TensorFlow, and only for Keras' models.

python -P -m edgewright.export.work.convert      (see `edgewright.export.work.protocol`)
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.export import formats, variants
from edgewright.export.network.model import ONNX, FileInterface, Model
from edgewright.export.weights import summary as weights
from edgewright.export.work import protocol
from edgewright.export.work.events import Converted, Event, Failed, ModelLoaded, ReferenceScored
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras

if TYPE_CHECKING:
    from edgewright.export.network.float_network import FloatNetwork


def _work(next_task: Callable[[], dict[str, Any]], report: Callable[[Event], None]) -> None:
    task = next_task()
    model = Model.from_json(JsonObject(task["model"], "the task", ExportError))
    network = _opened(model, FileInterface(**task["interface"]))
    facts = network.facts()
    _refuse_what_no_format_takes(network, task["formats"])
    report(ModelLoaded(facts=facts))
    _convert(network, JsonObject(next_task(), "the task", ExportError), report)


def _opened(model: Model, interface: FileInterface) -> FloatNetwork:
    """TensorFlow is imported for Keras' models alone."""
    if model.kind == ONNX:
        from edgewright.export.network.onnx.network import OnnxNetwork

        return OnnxNetwork(model, interface)
    import_keras()
    from edgewright.export.network.network import Network

    return Network(model, interface)


def _refuse_what_no_format_takes(network: FloatNetwork, names: Sequence[str]) -> None:
    """Write the plain float file of each format, which others start from: what fails now would fail later."""
    nothing = np.empty((0, *network.shape), np.uint8)
    for name in names:
        chosen = formats.get(name)
        plain = [scheme for scheme, settings in chosen.schemes.items() if not settings.calibrated]
        if plain:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    chosen.export(network, plain[0], nothing, Path(folder, f"plain{chosen.suffix}"))
                except Exception as failure:  # a converter raises what it likes
                    raise ExportError(
                        f"{name} files cannot hold this network, {network.blame(failure)}; "
                        "change it, or name variants of another format with --variants"
                    ) from failure


def _convert(network: FloatNetwork, asked: JsonObject, report: Callable[[Event], None]) -> None:
    folder = Path(asked.text("folder"))
    if asked.flag("reference"):
        np.save(folder / protocol.REFERENCE, network.scores(np.load(folder / protocol.TEST)))
        report(ReferenceScored())
    calibration = np.load(folder / protocol.CALIBRATION)
    contracts, fine_tuned = asked.object("contracts"), asked.object("fine_tuned")

    @lru_cache(maxsize=1)  # variants of the same passes mostly stand together
    def network_of(chain: str) -> FloatNetwork:
        return _opened(Model.from_json(fine_tuned.object(chain)), network.interface)

    for variant in variants.parse(list(contracts.data)):
        path = folder / variant.file
        chosen = formats.get(variant.format)
        try:
            converted = network_of(variant.chain) if variant.passes else network
            conversion = dataclasses.asdict(chosen.export(converted, variant.scheme, calibration, path))
            if variant.passes:
                conversion["weights"] = weights.summary(chosen.weights(path))
            chosen.attach(path, ModelContract.from_json(contracts.object(variant.name)))
        except Exception as failure:  # a converter raises what it likes; the other variants go on
            path.unlink(missing_ok=True)
            reason = " ".join(str(failure).split())[:300] or type(failure).__name__
            report(Failed(variant=variant.name, reason=f"cannot be converted: {reason}"))
        else:
            report(Converted(variant=variant.name, conversion=conversion))


if __name__ == "__main__":
    sys.exit(protocol.serve(_work))
