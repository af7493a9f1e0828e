"""Weight clustering: each layer keeps a few values, and all its weights are one of them.

Zeros that pruning has made stay zeros. Source: Han, Mao, Dally: Deep Compression, arXiv:1510.00149; by
TFMOT, its sparsity-preserving way where something was pruned before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.export.layers import refuse_without_weights, wrapped
from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tfmot

if TYPE_CHECKING:
    from edgewright.export.tuner import Tuner

_FEWEST, _MOST = 3, 255  # zero and a value of either sign; what 8-bit weights can tell apart


class Cluster:
    examples = ("cluster16", "cluster32")
    rank = 2
    only: tuple[str, ...] = ()
    why_only = ""
    fake_quantizes = False

    def takes(self, name: str) -> bool:
        found = re.fullmatch(r"cluster(-?[\d.]+)", name)
        if found and not (found[1].isdecimal() and _FEWEST <= int(found[1]) <= _MOST):
            raise InputError(
                f"expected cluster{_FEWEST} to cluster{_MOST}, the number of values a layer's weights may "
                f"have, got '{name}'"
            )
        return found is not None

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, tuner: Tuner) -> Any:
        clustering = import_tfmot().clustering.keras
        from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

        asked, sparse = int(name.removeprefix("cluster")), tuner.made_by("prune")

        def wrap(layer: Any) -> Any:
            kernel = layer.kernel.numpy()
            # kmeans++ needs a weight for each centroid; with sparsity, one centroid is zero.
            count = min(asked, len(np.unique(kernel[kernel != 0])) + 1 if sparse else len(np.unique(kernel)))
            if count < _FEWEST:
                return layer
            return cluster.cluster_weights(
                layer,
                number_of_clusters=count,
                cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
                preserve_sparsity=sparse,
            )

        model = wrapped(tuner.model, wrap)
        tuner.fit(model)
        return clustering.strip_clustering(model)


PASS = Cluster()
