"""Lower precision of training undone: every layer of a Keras model computes in float32.

Models that were trained under a policy such as mixed_float16 or bfloat16 carry it in their file. Casts
would be in every exported one, TFLite has no kernels for them, and the float reference would itself be
rounded to 8 or 11 bits.
"""

from __future__ import annotations

from typing import Any

FLOAT32 = "float32"
_LOWER = ("float16", "bfloat16")


def take_as(tensor: Any, dtype: str) -> None:
    """Have a model no longer cast what it is given for its input `tensor`, but to `dtype`."""
    tensor._dtype = dtype
    tensor._keras_history.operation._dtype = dtype  # a Sequential model asks its input layer


def to_float32(network: Any) -> None:
    """Have `network` and all in it, nested and shared layers included, store and compute in float32.

    In place, which needs no configuration to be read back and leaves shared layers shared: a policy is
    asked at each call, and a variable of 16 bits is replaced by one of 32 with the same values.
    """
    import tensorflow as tf

    for layer in network._flatten_layers():
        if {layer.compute_dtype, layer.variable_dtype} & {*_LOWER}:
            layer.dtype_policy = FLOAT32
        graph = getattr(layer, "_functional", None) or layer
        for given in getattr(graph, "_inputs", None) or ():
            if given.dtype in _LOWER:
                take_as(given, FLOAT32)
    for variable in network.variables:
        if variable._dtype in _LOWER:
            variable._dtype = FLOAT32
            variable._value = tf.Variable(tf.cast(variable._value, FLOAT32), trainable=variable.trainable)
