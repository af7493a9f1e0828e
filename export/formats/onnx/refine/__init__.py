"""What is done to an int8 ONNX model once it is converted, one refinement a file.

`refine(model, context)` changes the model and says what it has done, for the manifest; where that would not
be to the good it leaves the model as it was, or takes its change back, and gives None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.train.datasets import Images

if TYPE_CHECKING:
    from edgewright.export.network.network import Network


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a refinement may look at: the network, the float32 model that was quantized, with the same names,
    and training images, uint8 `(n, height, width, channels)`."""

    network: Network
    float32: Any
    calibration: Images
