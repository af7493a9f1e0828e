"""Which model files may be opened in this process, and the process apart for all others."""

from edgewright.runtime.trust.known import can_list, ensure, introduce, is_known, remember

__all__ = ["can_list", "ensure", "introduce", "is_known", "remember"]
