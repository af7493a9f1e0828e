"""Training on the devices of a machine or on several machines, by tf.distribute.

Keras 3's own `fit` fails under tf.distribute; that of tf_keras works. So the network crosses the
bridge, is trained there, and its weights come back after every epoch, to be judged and kept as those
of any other training. A replica takes its share of each batch that a training on one device would
take, weighed so that the sum of the gradients is the gradient of the whole batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.errors import BridgeError, InputError, TrainingError
from edgewright.train.bridge import to_tf_keras
from edgewright.train.stack import import_tf_keras, quiet_stderr

# From Keras 3 or tf_keras to an optimizer, a loss and metrics of its own.
Means = Callable[[Any], tuple[Any, Any, list[Any]]]

_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


class WorkerLostError(TrainingError):
    """Another worker of the cluster died or cannot be reached."""


class Alone:
    """One process and one device: Keras 3's own `fit`."""

    is_chief = True
    record: Mapping[str, Any] = {}
    weights_sha256 = ""  # of what several workers have trained, which must be the same on each

    def fit(self, model: Any, given: Any, callback: Any, epochs: range, means: Means) -> None:
        """Train a Keras 3 model.

        Args:
            model: compiled with `means(keras)`, a new optimizer, the loss and the metrics of that Keras.
            given: batches, from `edgewright.train.fitting.batches`.
            callback: a Keras 3 callback that wants to know of the beginning of an epoch, of the end of a
                batch and, on the chief, of the end of an epoch: then `model` has the weights of that.
            epochs: counted from 0, those that are left.

        Raises:
            WorkerLostError: another worker is gone.
        """
        first, end = epochs.start, epochs.stop
        model.fit(given, initial_epoch=first, epochs=end, callbacks=[callback], shuffle=False, verbose=0)


class Team(Alone):
    """Replicas that train one model together, on this machine (`mirrored`) or on several (`multiworker`).

    What TensorFlow gives when a worker dies: the others' next step fails after a heartbeat of 10 seconds
    is missed (12 to 60 s were measured on a busy machine), which is raised as `WorkerLostError`. Workers
    wait for one that never comes, an hour by TensorFlow's default, and hear no signal but SIGKILL
    meanwhile. BatchNormalization normalizes by each replica's own share.
    """

    def __init__(self, name: str, seed: int) -> None:
        """Must come before anything else that TensorFlow is asked to do; `seed` is for dropout.

        Raises:
            InputError: TF_CONFIG is missing or malformed.
            TrainingError: the workers it names did not come together.
        """
        self._tf_keras = import_tf_keras()
        import tensorflow as tf

        self.is_chief, workers = (True, 1) if name == "mirrored" else _cluster(os.environ.get("TF_CONFIG"))
        made = {
            "mirrored": tf.distribute.MirroredStrategy,
            "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
        }
        try:
            with quiet_stderr():
                self._strategy = made[name]()
        except (tf.errors.OpError, RuntimeError) as failure:
            reason = " ".join(str(failure).split())
            raise TrainingError(
                f"the workers of TF_CONFIG did not come together: {reason[:300]}"
            ) from failure
        self._seed, self._replicas = seed, self._strategy.num_replicas_in_sync
        self.record = {"strategy": name, "workers": workers, "replicas": self._replicas}

    def fit(self, model: Any, given: Any, callback: Any, epochs: range, means: Means) -> None:
        tf_keras = self._tf_keras
        tf_keras.utils.set_random_seed(self._seed)
        with _lost_workers():
            with self._strategy.scope():
                bridged = to_tf_keras(model, keep_augmentation=True)
                trained = bridged.model
                try:
                    optimizer, loss, metrics = means(tf_keras)
                    trained.compile(optimizer, loss, metrics=metrics)
                except (AttributeError, TypeError) as failure:
                    raise BridgeError(f"tf_keras cannot make the recipe's optimizer: {failure}") from failure
            callback.set_model(trained)
            each_batch = tf_keras.callbacks.LambdaCallback(
                on_epoch_begin=callback.on_epoch_begin, on_train_batch_end=callback.on_train_batch_end
            )
            given.on_epoch_end()  # Keras 3's `fit` spends one order of the images on building the model
            for epoch in epochs:
                history = trained.fit(
                    self._strategy.distribute_datasets_from_function(partial(self._shares, given)),
                    steps_per_epoch=len(given),
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    callbacks=[each_batch],
                    verbose=0,
                )
                given.on_epoch_end()
                bridged.copy_back()  # on all workers: the moving statistics are means over them
                # In `fit` this would be under the strategy, where one worker may do nothing by itself.
                if self.is_chief:
                    callback.on_epoch_end(epoch, {key: values[-1] for key, values in history.history.items()})
                if self._chief_says(trained.stop_training):
                    break
        digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
        self.weights_sha256 = digest.hexdigest()

    def _chief_says(self, word: bool) -> bool:
        """The chief's `word`, on all workers."""
        import tensorflow as tf

        said = float(word and self.is_chief)
        each = self._strategy.run(tf.function(lambda: tf.constant(said)))
        return bool(self._strategy.reduce("SUM", each, axis=None) > 0)

    def _shares(self, given: Any, context: Any) -> Any:
        """An epoch of what this worker's replicas take in turn: each its share of every batch."""
        import tensorflow as tf

        mine = self._replicas // context.num_input_pipelines
        first = mine * context.input_pipeline_id

        def shares() -> Iterator[tuple[NDArray[Any], ...]]:
            for index in range(len(given)):
                images, labels, *weights = given[index]
                for replica in range(first, first + mine):
                    yield share(images, labels, replica, self._replicas, *weights)

        images, labels, *_ = given[0]
        signature = tuple(
            tf.TensorSpec((None, *array.shape[1:]), array.dtype)
            for array in share(images, labels, first, self._replicas)
        )
        return tf.data.Dataset.from_generator(shares, output_signature=signature).prefetch(2 * mine)


def share(
    images: NDArray[Any],
    labels: NDArray[Any],
    replica: int,
    replicas: int,
    given: NDArray[np.float32] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """One replica's part of a batch, and weights that make the mean of all replicas' mean losses the batch's.

    `given` are weights that the images have already. A batch smaller than the number of replicas leaves some
    with one image of weight 0.
    """
    count = len(images)
    start, end = replica * count // replicas, (replica + 1) * count // replicas
    part = slice(start, end) if end > start else slice(0, 1)
    weight = (end - start) * replicas / count
    weights = np.full(len(images[part]), weight, np.float32)
    return images[part], labels[part], weights if given is None else weights * given[part]


def _cluster(text: str | None) -> tuple[bool, int]:
    """Whether TF_CONFIG makes this process the chief, and the number of workers.

    Source: https://www.tensorflow.org/guide/distributed_training, "Setting up TF_CONFIG".
    """
    if not text:
        raise InputError(f"expected the cluster in TF_CONFIG, got none; set it to, say, {_EXAMPLE}")
    try:
        config = json.loads(text)
        cluster, kind, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        addresses = [*cluster.get("chief", []), *cluster.get("worker", [])]
        sound = (
            set(cluster) <= {"chief", "worker"}
            and len(cluster.get("chief", [])) <= 1
            and type(index) is int
            and 0 <= index < len(cluster[kind])
            and len(set(addresses)) == len(addresses)
            and all(re.fullmatch(r"\S+:\d{1,5}", address) for address in addresses)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise InputError(f"expected TF_CONFIG such as {_EXAMPLE}, got '{text[:200]}'")
    is_chief = kind == "chief" or ("chief" not in cluster and index == 0)
    return is_chief, len(addresses)


@contextlib.contextmanager
def _lost_workers() -> Iterator[None]:
    """Turns what TensorFlow raises when a peer is gone into `WorkerLostError`."""
    import tensorflow as tf

    gone = (
        tf.errors.UnavailableError,  # not reachable
        tf.errors.FailedPreconditionError,  # reachable again, but anew
        tf.errors.AbortedError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except gone as failure:
        # Its frames hold a thread pool that TensorFlow left open and that complains when the process ends.
        failure.__context__ = failure.__cause__ = None
        failure.with_traceback(None)
        raise WorkerLostError(
            f"another worker is gone (TensorFlow: {type(failure).__name__}); start all workers anew"
        ) from failure
