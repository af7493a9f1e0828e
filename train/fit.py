"""Trains a recipe and writes the checkpoint folder."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import console, files, plugins
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError, EdgewrightError, MissingExtraError
from edgewright.train import plots
from edgewright.train.checkpoint import (
    CHECKPOINT,
    MODEL,
    MODEL_H5,
    OURS,
    Checkpoint,
    DataRecord,
    scale,
    split,
)
from edgewright.train.datasets import Dataset
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras, versions

SAVED_TOLERANCE = 1e-6  # a saved model gives the scores of the one in memory


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of a training run; `epochs` None is the recipe's own number."""

    out: Path
    seed: int = 0
    epochs: int | None = None
    overwrite: bool = False


def train(name: str, recipe: Recipe, dataset: Dataset, options: Options) -> Checkpoint:
    """Train `recipe` on `dataset` and write a checkpoint folder to `options.out`.

    Returns:
        What was written; `metrics` holds accuracy and loss on validation and test images.

    Raises:
        OutputError: the folder is taken or cannot be written.
        DataError: too few images of a class to split.
    """
    with files.new_folder(options.out, overwrite=options.overwrite, ours=OURS) as (folder, _):
        return _train(name, recipe, dataset, options, folder)


def _train(name: str, recipe: Recipe, dataset: Dataset, options: Options, folder: Path) -> Checkpoint:
    keras = import_keras()
    if not plugins.installed("matplotlib"):
        raise MissingExtraError("matplotlib, which draws the curves,", "train")
    keras.utils.set_random_seed(options.seed)
    try:
        train_part, validation_part = split(dataset.y_train, recipe.validation, options.seed)
    except ValueError as failure:
        raise DataError(f"cannot hold out validation images of {dataset.name}: {failure}") from failure
    x = scale(dataset.x_train, recipe.input_range)
    shape, classes = dataset.x_train.shape[1:], len(dataset.labels)
    model = recipe.build(keras, shape, classes)
    model.compile(recipe.optimizer(keras), "sparse_categorical_crossentropy", metrics=["accuracy"])
    epochs = options.epochs or recipe.epochs
    start = time.perf_counter()
    steps = -(-len(train_part) // recipe.batch_size)
    with console.progress("training", total=epochs * steps) as bar:
        early = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=recipe.patience, restore_best_weights=True
        )
        history = model.fit(
            x[train_part],
            dataset.y_train[train_part],
            validation_data=(x[validation_part], dataset.y_train[validation_part]),
            epochs=epochs,
            batch_size=recipe.batch_size,
            callbacks=[early, _reporter(keras, bar, epochs)],
            verbose=0,
        ).history
    seconds = time.perf_counter() - start
    best = int(np.argmin(history["val_loss"]))
    final = recipe.build(keras, shape, classes)  # the network alone, without optimizer state
    final.set_weights(model.get_weights())
    scores = _scores(final, scale(dataset.x_test, recipe.input_range))
    _save(keras, final, folder, dataset, recipe, scores)
    plots.curves(history, folder)
    _write_history(history, folder / "history.csv")
    checkpoint = Checkpoint(
        recipe=name,
        labels=dataset.labels,
        input=InputContract(height=shape[0], width=shape[1], channels=shape[2]),
        input_range=recipe.input_range,
        head=head_of(final),
        data=DataRecord.of(dataset),
        validation=recipe.validation,
        seed=options.seed,
        model_sha256=files.sha256_of(folder / MODEL),
        metrics={
            "train_accuracy": float(history["accuracy"][best]),
            "validation_accuracy": float(history["val_accuracy"][best]),
            "validation_loss": float(history["val_loss"][best]),
            "test_accuracy": float(np.mean(scores.argmax(1) == dataset.y_test)),
        },
        training={
            "epochs": len(history["loss"]),
            "best_epoch": best + 1,
            "seconds": round(seconds, 2),
            "parameters": int(final.count_params()),
            "batch_size": recipe.batch_size,
        },
        versions=versions("edgewright", "tensorflow", "keras", "numpy"),
    )
    files.write_file(folder / CHECKPOINT, checkpoint.to_bytes())
    return checkpoint


def head_of(model: Any) -> str:
    """`softmax` if the model's last layer gives probabilities, else `logits`."""
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    return "softmax" if activation == "softmax" or type(last).__name__ == "Softmax" else "logits"


def _scores(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    batches = [np.asarray(model(x[i : i + 500], training=False)) for i in range(0, len(x), 500)]
    return np.concatenate(batches)


def _save(
    keras: Any, model: Any, folder: Path, dataset: Dataset, recipe: Recipe, expected: NDArray[np.float32]
) -> None:
    """Write both formats and see that what they load as predicts what the model in memory does."""
    few = scale(dataset.x_test[:256], recipe.input_range)
    for name in (MODEL, MODEL_H5):
        model.save(folder / name)
        loaded = keras.saving.load_model(folder / name, compile=False, safe_mode=True)
        error = float(np.abs(_scores(loaded, few) - expected[: len(few)]).max())
        if not error <= SAVED_TOLERANCE:
            raise EdgewrightError(
                f"expected {name} to predict what the model in memory does, got scores {error:.2g} apart"
            )


def _reporter(keras: Any, bar: console.Progress, epochs: int) -> Any:
    class Reporter(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            bar.advance()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            figures = "  ".join(f"{key} {value:.4f}" for key, value in logs.items())
            console.say(f"epoch {epoch + 1}/{epochs}  {figures}")

    return Reporter()


def _write_history(history: dict[str, list[float]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        for epoch, row in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([epoch, *(f"{value:.6f}" for value in row)])
