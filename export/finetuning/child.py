"""The child that runs one pass: the only process of an export that has TFMOT.

TFMOT changes how `tf.keras` is imported, and its wrappers change the layers they wrap; so each pass
starts from a file in a process of its own, and what it leaves is a file again: a Keras 3 model, or for
qat a SavedModel with fake quantization, both of which the converting child reads without TFMOT.

    python -P -m edgewright.export.finetuning.child      (see `edgewright.export.finetuning.chains`)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export import passes
from edgewright.export.finetuning.chains import FILES, KERAS_MODEL, SAVED_MODEL, STEP, recipe_of
from edgewright.export.network.float_network import INPUT, OUTPUT
from edgewright.export.network.keras_model.file import open_model
from edgewright.export.network.keras_model.float32 import to_float32
from edgewright.export.network.model import Model
from edgewright.export.network.trainer import Examples, Trainer
from edgewright.export.work.events import Event, Progressed, Trained
from edgewright.export.work.protocol import serve
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError
from edgewright.train import bridge


def _work(next_task: Callable[[], dict[str, Any]], report: Callable[[Event], None]) -> None:
    task = next_task()
    folder, out = Path(task["data"]), Path(task["out"])
    described = Model.from_json(JsonObject(task["model"], "the model", ExportError))
    model = _opened(described)
    said = 0.0

    def progress(share: float, note: str) -> None:
        nonlocal said
        if share - said >= STEP or share == 1:
            said = share
            report(Progressed(share=share, note=note))

    *earlier, name = task["chain"]
    chosen = passes.get(name)
    trainer = Trainer(
        model,
        recipe=recipe_of(task["recipe"]),
        head=task["head"],
        normalization=described.normalization,
        examples=Examples(**{key: np.load(folder / f"{key}.npy") for key in FILES}),
        epochs=task["epochs"],
        seed=task["seed"],
        earlier=earlier,
        # TFMOT cannot quantize what is before such layers, and who teaches has none of them.
        keep_augmentation=not chosen.fake_quantizes and chosen.labelled,
        report=progress,
    )
    plain = bridge.to_tf_keras(model).model
    for asked in task["asked"]:  # all of them before the first is trained
        passes.get(asked).check(plain)
    trained = chosen.apply(name, trainer)
    if chosen.fake_quantizes:
        _save(trained, out / SAVED_MODEL)
    else:
        back = trainer.bridged.of(trained)
        back.copy_back()
        few = described.normalization.apply(np.load(folder / "x.npy", mmap_mode="r")[:64])
        bridge.compare(model, back, bridge.probe(few.shape[1:], few))
        model.save(out / KERAS_MODEL)
    report(Trained(record=trainer.record))


def _opened(described: Model) -> Any:
    """The network that is trained, computing in float32. Raises `ExportError`: passes cannot take it."""
    model = open_model(described)
    to_float32(model)
    if len(getattr(model, "outputs", None) or ()) != 1 or len(model.inputs) != 1:
        raise ExportError(
            f"expected a network of Keras layers with one input and one output for passes, got "
            f"{described.path.name}, which is none; leave the passes out"
        )
    return model


def _save(model: Any, folder: Path) -> None:
    """Write what `model` computes as a SavedModel that needs neither tf_keras nor TFMOT."""
    import tensorflow as tf

    shape = model.input_shape[1:]

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.float32, name=INPUT)])  # type: ignore[untyped-decorator]
    def call(image: Any) -> dict[str, Any]:
        return {OUTPUT: model(image, training=False)}

    holder = tf.Module()
    holder.variables_held, holder.call = model.variables, call
    tf.saved_model.save(holder, str(folder), signatures=call)


if __name__ == "__main__":
    sys.exit(serve(_work))
