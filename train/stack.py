"""Where Keras and TensorFlow are imported: quietly, and with a clear line when they are missing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Any

from edgewright.runtime.errors import MissingExtraError


def import_keras() -> Any:
    """Keras 3 on TensorFlow. Raises `MissingExtraError`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    what = "TensorFlow, which trains and reads Keras models,"
    # TensorFlow first: its start-up lines are the ones to silence.
    modules = ("tensorflow", "absl.logging", "keras")
    tensorflow, logging, keras = (_quietly(module, what, "train") for module in modules)
    tensorflow.get_logger().setLevel("ERROR")
    logging.set_verbosity(logging.ERROR)  # Keras warns there of every .h5 it writes
    return keras


def import_tf_keras() -> Any:
    """tf_keras, which is Keras 2: what TFMOT and `fit` under tf.distribute need. Raises `MissingExtraError`.

    It lives beside Keras 3 in one process; `tf.keras` is never used, which of the two that is depends
    on TF_USE_LEGACY_KERAS at the first import.
    """
    import_keras()
    return _quietly("tf_keras", "tf-keras, which trains under tf.distribute,", "train")


def import_tfmot() -> Any:
    """TensorFlow Model Optimization, which takes tf_keras models only. Raises `MissingExtraError`.

    On import it sets TF_USE_LEGACY_KERAS for this process and its children: import Keras 3 before.
    """
    import_tf_keras()
    what = "tensorflow-model-optimization, which passes need,"
    return _quietly("tensorflow_model_optimization", what, "export")


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_KEPT_BYTES = 64 << 20  # of each heap: as much as glibc gives a thread's


def keep_freed_memory() -> None:
    """What a step of training frees stays with the process for the next step, in place of the system's hands.

    TensorFlow takes its tensors by malloc and gives them back within a step; glibc hands them on to the
    system, which has to clear every page of the next step's anew. On two virtual cores, mnist-tiny trained
    2.4 to 3 times as many steps a second so, cifar10-cnn 1.6 times, to the same weights.
    Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most it takes
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, _KEPT_BYTES)


def _quietly(module: str, what: str, extra: str) -> Any:
    try:
        with quiet_stderr():
            return import_module(module)
    except ImportError as failure:
        raise MissingExtraError(what, extra) from failure


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what native code prints on standard error; shown after all if the block fails.

    TensorFlow prints a dozen lines about CPU features and absent GPUs before it can be told not to.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except (ImportError, KeyboardInterrupt):
            raise
        except BaseException:
            log.seek(0)
            os.write(kept, log.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of `packages`, for the record beside a result."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
