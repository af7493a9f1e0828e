"""What is done to an int8 .tflite file once it is converted, one refinement a file.

`refine(tree, context)` changes the tree and says what it has done, for the manifest; where that would not
be to the good it leaves the tree as it was, or takes its change back, and gives None.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.train.datasets import Images

if TYPE_CHECKING:
    from edgewright.export.network.network import Network


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a refinement may look at: the network, its float32 file on raw pixels, and training images, uint8
    `(n, height, width, channels)`."""

    network: Network
    float32: bytes
    calibration: Images

    @cached_property
    def twin(self) -> Any:
        """The float32 file as a tree; not to be changed."""
        return tflite_tree.read(self.float32)
