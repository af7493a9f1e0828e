"""Pictures of a training run and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgewright.train.evaluation import lettering

if TYPE_CHECKING:
    from edgewright.train.datasets import Dataset, Images
    from edgewright.train.evaluation.metrics import Mistake


def curves(history: Sequence[Mapping[str, float]], best_epoch: int, folder: Path) -> None:
    """Write `accuracy.png`, `loss.png` (training and validation) and `f1.png` (macro, validation)."""
    from matplotlib.ticker import MaxNLocator

    lines = {
        "accuracy": {"training": "accuracy", "validation": "val_accuracy"},
        "loss": {"training": "loss", "validation": "val_loss"},
        "f1": {"F1": "val_f1", "precision": "val_precision", "recall": "val_recall"},
    }
    titles = {"f1": "macro F1, precision and recall on validation, by epoch"}
    epochs = range(1, len(history) + 1)
    for name, series in lines.items():
        figure, axes = _figure(7, 4.2)
        for (label, key), marker in zip(series.items(), "os^", strict=False):
            axes.plot(epochs, [row[key] for row in history], marker + "-", markersize=4, label=label)
        axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name if name in ("accuracy", "loss") else "")
        axes.set_title(titles.get(name, f"{name} by epoch"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{name}.png", dpi=120)


def confusion(matrix: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """The confusion matrix, truth down and guess across, shaded by the share of the true class."""
    count = len(labels)
    with lettering.of(labels) as drawn:
        _confusion(matrix, drawn, count, path)


def _confusion(matrix: NDArray[np.int64], labels: Sequence[str], count: int, path: Path) -> None:
    side = 3 + 0.55 * min(count, 40)
    figure, axes = _figure(side + 1, side)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), labels, rotation=45, ha="right")
    axes.set_yticks(range(count), labels)
    axes.set_xlabel("guess")
    axes.set_ylabel("truth")
    axes.set_title("confusion matrix, test images")
    if count <= 40:
        for (row, column), number in np.ndenumerate(matrix):
            color = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(number), ha="center", va="center", color=color, fontsize=8)
    figure.savefig(path, dpi=120)


def mistakes(found: Sequence[Mistake], dataset: Dataset, path: Path) -> None:
    """The error sheet: each picture with its true label, the guess and the guess' probability."""
    titles = []
    for m in found:
        if m.truth is not None and m.guess is not None:
            titles.append(f"{dataset.labels[m.truth]}\n→ {dataset.labels[m.guess]} {m.probability:.2f}")
        elif m.truth is not None:
            titles.append(f"missed: {dataset.labels[m.truth]}\n{m.probability:.2f}")
        elif m.guess is not None:
            titles.append(f"wrongly: {dataset.labels[m.guess]}\n{m.probability:.2f}")
    title = "most confident mistakes: truth → guess, probability"
    if dataset.is_multi_label:
        title = "most confident mistakes: label and its probability"
    samples(dataset.x_test[[m.index for m in found]], titles, title if found else "no mistakes", path)


def samples(images: Images, titles: Sequence[str], title: str, out: Path | BinaryIO) -> None:
    """A PNG of pictures `(n, height, width, channels)` in a grid, with a title each."""
    with lettering.of([*titles, title]) as (*drawn, headline):
        _samples(images, drawn, headline, out)


def _samples(images: Images, titles: Sequence[str], title: str, out: Path | BinaryIO) -> None:
    """In one system of axes, in inches from the top left: one a picture would take seconds to lay out."""
    columns, wide, high, head, side = 8, 1.5, 1.75, 0.5, 1.3
    rows = max(1, -(-len(images) // columns))
    width, height = columns * wide, rows * high + head
    figure, _ = _figure(width, height, axes=False)
    figure.set_layout_engine("none")
    figure.suptitle(title, y=1 - 0.1 / height)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    for place, (image, text) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(place, columns)
        inch = side / max(image.shape[:2])  # of a pixel
        across, down = image.shape[1] * inch / 2, image.shape[0] * inch / 2
        x, y = (column + 0.5) * wide, head + (row + 1) * high - side / 2
        grey = image.shape[2] == 1
        axes.imshow(
            image[:, :, 0] if grey else image,
            cmap="gray" if grey else None,
            vmin=0,
            vmax=255,
            extent=(x - across, x + across, y + down, y - down),
        )
        axes.text(x, y - down - 0.05, text, fontsize=7, ha="center", va="bottom")
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.axis("off")
    figure.savefig(out, dpi=120)


def _figure(width: float, height: float, *, axes: bool = True) -> tuple[Any, Any]:
    """A figure of its own, which no global state of matplotlib knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot() if axes else None
