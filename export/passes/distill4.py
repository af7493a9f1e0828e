"""Distillation in 4 bits, without labels: the rounded network learns the scores that it gave before.

Weights are rounded layer by layer first, as files of 4 bits have it (`edgewright.export.weights.rounding`),
and stay on these grids while the network is trained towards its own scores of before, for the same pictures.
A few hundred steps suffice, as nothing new is to be learnt; if none of them brings it closer, rounding is all
that is left of it. Source: Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network,
arXiv:1503.02531, at temperature 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.layers import refuse_without_weights
from edgewright.export.passes import Pass, qat4
from edgewright.export.weights import rounding

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_STEPS = 100  # an epoch
_LEARNING_RATE = 3e-5  # Adam's; at 1e-4 a cifar10-cnn got worse than rounding had left it
_BATCH = 64  # images

Floats = NDArray[np.floating[Any]]


class Distill4(Pass):
    examples = ("distill4",)
    rank = qat4.Qat4.rank
    only = qat4.Qat4.only
    why_only = qat4.Qat4.why_only
    labelled = False

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, trainer: Trainer) -> Any:
        for layer in trainer.model.submodules:  # as it will be used: nothing is drawn, statistics stay
            if type(layer).__name__ == "BatchNormalization":
                layer.trainable = False
            elif "Dropout" in type(layer).__name__:
                layer.rate = 0.0
        grid = qat4.on_grid(trainer)
        _round(trainer)
        trainer.distill(trainer.model, callbacks=[grid], steps=_STEPS, learning_rate=_LEARNING_RATE)
        return trainer.model


def _round(trainer: Trainer) -> None:
    """Rounds each layer that 4 bits are to hold so that it gives what it gave before, as far as they can."""
    model, exact = trainer.model, trainer.copy()
    layers = [layer for layer in qat4.in_4_bits(model) if _is_plain(layer)]
    largest = max((int(np.prod(layer.input.shape[1:])) for layer in layers), default=1)
    x = trainer.examples.x
    few = len(rounding.sample(x, largest))
    for layer in layers:
        inputs, an_image = int(np.prod(layer.kernel.shape[:-1])), int(np.prod(layer.output.shape[1:-1]))
        wanted = max(few, -(-rounding.enough(inputs) // an_image))  # a large image has places enough
        chosen = np.linspace(0, len(x) - 1, min(wanted, len(x))).astype(int)
        images = trainer.normalization.apply(x[chosen])
        places = rounding.places_of(-(-len(images) // _BATCH))
        pairs = zip(
            _seen(trainer.tf_keras, exact, exact.get_layer(layer.name), images, places),
            _seen(trainer.tf_keras, model, layer, images, places),
            strict=True,
        )
        kernel = layer.kernel.numpy()
        rows = kernel.reshape(-1, kernel.shape[-1]).T
        moments = rounding.Moments(pairs)
        if not moments.enough:
            continue
        found = rounding.rounded(rows, moments, rounding.BITS, has_bias=layer.use_bias)
        layer.kernel.assign((found.codes * found.scales[:, np.newaxis]).T.reshape(kernel.shape))
        if layer.use_bias:
            layer.bias.assign_add(found.shift.astype(np.float32))


def _is_plain(layer: Any) -> bool:
    """Whether it stands in one place and each output sees all inputs; training alone rounds others."""
    return len(layer.inbound_nodes) == 1 and getattr(layer, "groups", 1) == 1


def _seen(tf_keras: Any, model: Any, layer: Any, images: Floats, places: int) -> Iterator[Floats]:
    """What `layer` of `model` multiplies its kernel with, `(places, inputs)`, a batch of images each time."""
    front = tf_keras.Model(model.inputs, layer.input)
    for start in range(0, len(images), _BATCH):
        values = front(images[start : start + _BATCH], training=False).numpy()
        if type(layer).__name__ == "Dense":
            yield values.reshape(-1, values.shape[-1])[:places]
            continue
        window = layer.kernel_size, layer.strides, layer.dilation_rate
        pads = [(0, 0), (0, 0)]
        if layer.padding == "same":
            pads = [rounding.same_padding(*each) for each in zip(values.shape[1:3], *window, strict=True)]
        yield rounding.patches(values, *window, pads, places)


PASS = Distill4()
