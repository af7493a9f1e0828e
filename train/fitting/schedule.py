"""How a learning rate changes over a training."""

from __future__ import annotations

from typing import Any


def warm_cosine(keras: Any, steps: int, peak: float) -> Any:
    """Up from a tenth of `peak` over the first twentieth of `steps` batches, then down to 0 on a cosine.

    Source: Loshchilov, Hutter: SGDR, arXiv:1608.03983, without restarts.
    """
    warmup = steps // 20
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, steps - warmup, warmup_target=peak, warmup_steps=warmup
    )
