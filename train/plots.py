"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def curves(history: Mapping[str, Sequence[float]], folder: Path) -> None:
    """Write `accuracy.png` and `loss.png`: training and validation over the epochs, the best one marked.

    `history` is Keras' own: `loss`, `accuracy`, `val_loss`, `val_accuracy`, one value an epoch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(history["loss"]) + 1)
    best = min(epochs, key=lambda epoch: history["val_loss"][epoch - 1])
    for metric in ("accuracy", "loss"):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(epochs, history[metric], "o-", markersize=4, label="training")
        axes.plot(epochs, history[f"val_{metric}"], "s-", markersize=4, label="validation")
        axes.axvline(best, color="0.6", linestyle=":", label=f"kept: epoch {best}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.set_title(f"{metric} by epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{metric}.png", dpi=120)
