"""The converting child: the only process of an export that has TensorFlow, and only for Keras' models.

python -P -m edgewright.export.work.convert      (see `edgewright.export.work.protocol`)
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edgewright.export import formats, variants
from edgewright.export.formats import Conversion
from edgewright.export.network.model import ONNX, FileInterface, Model
from edgewright.export.network.traced import own_words
from edgewright.export.repair.ladder import Ladder, NeedlessError
from edgewright.export.repair.task import Repair
from edgewright.export.weights import summary as weights
from edgewright.export.work import protocol
from edgewright.export.work.events import Began, Converted, Event, Failed, ModelLoaded, ReferenceScored
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import EdgewrightError, ExportError
from edgewright.train.stack import import_keras

if TYPE_CHECKING:
    from edgewright.export.network.float_network import FloatNetwork


def _work(next_task: Callable[[], dict[str, Any]], report: Callable[[Event], None]) -> None:
    task = next_task()
    model = Model.from_json(JsonObject(task["model"], "the task", ExportError))
    report(Began(step="loading the model"))
    try:
        network = _opened(model, FileInterface(**task["interface"]))
        facts = network.facts()
    except (EdgewrightError, RecursionError):
        raise
    except Exception as failure:  # layers of anyone are run here
        raise ExportError(f"{model.path} cannot be run: {_words(failure)}") from failure
    refused = _refused(network, task["formats"], report)
    report(ModelLoaded(facts=facts, refused=refused))
    _convert(network, JsonObject(next_task(), "the task", ExportError), report)


def _opened(model: Model, interface: FileInterface) -> FloatNetwork:
    """TensorFlow is imported for Keras' models alone."""
    if model.kind == ONNX:
        from edgewright.export.network.onnx.network import OnnxNetwork

        return OnnxNetwork(model, interface)
    import_keras()
    from edgewright.export.network.network import Network

    return Network(model, interface)


def _refused(network: FloatNetwork, names: Sequence[str], report: Callable[[Event], None]) -> dict[str, str]:
    """Write the plain float file of each format, which others start from: what fails now would fail later.
    Gives the formats that cannot hold the network, with the reason."""
    nothing = np.empty((0, *network.shape), np.uint8)
    refused = {}
    for name in names:
        chosen, plain = formats.get(name), _plain(name)
        if plain:
            report(Began(step=f"writing it as {name}", of=name))
            with tempfile.TemporaryDirectory() as folder:
                try:
                    chosen.export(network, plain, nothing, Path(folder, f"plain{chosen.suffix}"))
                except Exception as failure:  # a converter raises what it likes
                    refused[name] = network.blame(failure)
    return refused


def _plain(name: str) -> str | None:
    """The scheme of a format that all others of it start from."""
    schemes = formats.get(name).schemes.items()
    return next((scheme for scheme, settings in schemes if not settings.calibrated), None)


def _convert(network: FloatNetwork, asked: JsonObject, report: Callable[[Event], None]) -> None:
    folder = Path(asked.text("folder"))
    if asked.flag("reference"):
        report(Began(step="computing the model's own scores"))
        np.save(folder / protocol.REFERENCE, network.scores(np.load(folder / protocol.TEST)))
        report(ReferenceScored())
    calibration = np.load(folder / protocol.CALIBRATION)
    contracts, fine_tuned = asked.object("contracts"), asked.object("fine_tuned")
    refused: dict[tuple[str, str], str] = {}  # by chain and format

    @lru_cache(maxsize=1)  # variants of the same passes mostly stand together
    def network_of(chain: str) -> FloatNetwork:
        return _opened(Model.from_json(fine_tuned.object(chain)), network.interface)

    repair = None
    if asked.has("repair"):
        repair = Repair.read(folder / protocol.REPAIR, asked.object("repair").data)

    @lru_cache(maxsize=1)  # of one network and format: a file and its mixed one stand together
    def ladder_of(chain: str, name: str) -> Ladder:
        assert repair is not None
        current = network_of(chain) if chain else network
        variant = next(v for v in asked_for if v.repairable and (v.chain, v.format) == (chain, name))
        evidence = repair.evidence(current, ModelContract.from_json(contracts.object(variant.name)))
        again = calibration[repair.calibrating]
        chosen = cast(formats.Mendable, formats.get(name))
        return Ladder(chosen, variant.scheme, current, calibration, again, evidence, folder)

    asked_for = variants.parse(list(contracts.data))
    for variant in asked_for:
        path, key = folder / variant.file, (variant.chain, variant.format)
        chosen = formats.get(variant.format)
        converted: FloatNetwork | None = None
        try:
            if key in refused:
                raise ExportError(refused[key])
            report(Began(step="loading the model", of=variant.name))
            converted = network_of(variant.chain) if variant.passes else network
            converted.began = partial(_report_step, report, variant.name)
            converted.began("converting")
            if repair and variant.repairable:
                made = _repaired(ladder_of(variant.chain, variant.format), variant, path)
            else:
                made = chosen.export(converted, variant.scheme, calibration, path)
            conversion = dataclasses.asdict(made)
            if variant.passes:
                conversion["weights"] = weights.summary(chosen.weights(path))
            chosen.attach(path, ModelContract.from_json(contracts.object(variant.name)))
        except NeedlessError as needless:
            report(Failed(variant=variant.name, reason=str(needless), needless=True))
        except Exception as failure:  # a converter raises what it likes; the other variants go on
            path.unlink(missing_ok=True)
            foreign = converted is not None and not isinstance(failure, EdgewrightError)
            reason = converted.blame(failure) if converted and foreign else _words(failure)
            if variant.scheme == _plain(variant.format):
                refused.setdefault(key, reason)
            report(Failed(variant=variant.name, reason=f"cannot be converted: {reason}"))
        else:
            report(Converted(variant=variant.name, conversion=conversion))


def _repaired(ladder: Ladder, variant: variants.Variant, path: Path) -> Conversion:
    """Raises `NeedlessError`: a mixed file is asked for, and all may stay in 8 bits."""
    if not variant.settings.mixed:
        return ladder.integer(path)
    if not ladder.began:
        ladder.integer(path)
    if not ladder.needs_floats:
        raise NeedlessError("not needed: with all in 8 bits it loses too little on training images")
    return ladder.mixed(path)


def _report_step(report: Callable[[Event], None], variant: str, step: str) -> None:
    report(Began(step=step, of=variant))


def _words(failure: Exception) -> str:
    """What it says, in one line."""
    said = own_words(failure)[:300]
    if isinstance(failure, EdgewrightError):
        return said
    return f"{type(failure).__name__}: {said}" if said else type(failure).__name__


if __name__ == "__main__":
    sys.exit(protocol.serve(_work))
