"""Trains the larger networks of the published cases, once and from nothing, for about an hour each.

    python -m edgewright.benchmarks.figures.repair.trained NAME --data cifar10.npz --out FOLDER

keras.applications' networks with hard-swish or SiLU and squeeze-and-excite, on CIFAR-10's training images but
the last 1,256, which calibrate and choose elsewhere, made 48 pixels wide. Leaves `NAME.keras`, which takes
pixels of 0 to 1. Killed and started again, it goes on at the epoch where it was.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.repair.with_nncf import CALIBRATION, VALIDATION
from edgewright.runtime import console
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import InputError
from edgewright.train.stack import keep_freed_memory

SIDE = 48
NETWORKS = {"mobilenetv3small": ("MobileNetV3Small", 30), "efficientnetb0": ("EfficientNetB0", 12)}
_BATCH, _SHIFT, _RATE = 128, 6, 2e-3


def enlarged(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures of the size that these networks take."""
    larger = (Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in x)
    return np.stack([np.asarray(image) for image in larger])


def network(name: str, steps: int) -> Any:
    """Untrained, compiled for so many steps."""
    import keras

    application, _ = NETWORKS[name]
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    base = getattr(keras.applications, application)(
        input_shape=(SIDE, SIDE, 3), weights=None, include_top=False, pooling="avg"
    )
    values = base(keras.layers.Rescaling(255.0)(image))  # it scales pixels of 0 to 255 itself
    scores = keras.layers.Dense(10, activation="softmax")(keras.layers.Dropout(0.2)(values))
    model = keras.Model(image, scores)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=_RATE, warmup_steps=500)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def shown(x: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.float32]:
    """A batch shifted by up to six pixels, half of it mirrored, as 0 to 1."""
    padded = np.pad(x, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), "reflect")
    made = np.empty(x.shape, np.float32)
    for place, (top, left, mirrored) in enumerate(
        random.integers(0, (2 * _SHIFT + 1, 2 * _SHIFT + 1, 2), (len(x), 3))
    ):
        image = padded[place, top : top + SIDE, left : left + SIDE]
        made[place] = image[:, ::-1] if mirrored else image
    return made / np.float32(255)


def train(name: str, data: Path, out: Path) -> None:
    import keras

    keep_freed_memory()
    with np.load(data) as arrays:
        x, y = arrays["x_train"], arrays["y_train"].ravel()
    x, y = enlarged(x[: -CALIBRATION - VALIDATION]), y[: -CALIBRATION - VALIDATION]
    held = slice(-2000, None)  # says how far it is; chooses nothing
    steps, epochs = (len(x) - 2000) // _BATCH, NETWORKS[name][1]
    out.mkdir(parents=True, exist_ok=True)
    path, progress = out / f"{name}-partly.keras", out / f"{name}.json"
    done = int(jsonio.read(progress, InputError).number("epochs")) if progress.exists() else 0
    model = keras.models.load_model(path) if done else network(name, steps * epochs)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.99  # at MobileNetV3's own .999 the averages lag behind so few steps
    for epoch in range(done, epochs):
        random = np.random.default_rng(epoch)
        order = random.permutation(len(x) - 2000)
        for step in range(steps):
            batch = order[step * _BATCH : (step + 1) * _BATCH]
            model.train_on_batch(shown(x[batch], random), y[batch])
        scores = model.predict(x[held] / np.float32(255), batch_size=256, verbose=0)
        console.say(f"{name}: epoch {epoch + 1} of {epochs}, {(scores.argmax(1) == y[held]).mean():.3f}")
        model.save(out / "new.keras")
        (out / "new.keras").replace(path)
        files.write_file(progress, jsonio.dump({"epochs": epoch + 1}))
    path.replace(out / f"{name}.keras")


def main(words: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    if (arguments.out / f"{arguments.name}.keras").exists():
        return 0
    train(arguments.name, arguments.data, arguments.out)
    return 0


if __name__ == "__main__":
    script.run(main)
