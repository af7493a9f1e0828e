"""Which model files may be opened in this process, and the process apart for all others."""

from edgewright.runtime.trust.known import (
    can_list,
    check_apart,
    distrust,
    exported,
    forget,
    introduce,
    is_known,
    isolated,
    open_session,
    opens_here,
    remember,
    stand_apart,
)

__all__ = [
    "can_list",
    "check_apart",
    "distrust",
    "exported",
    "forget",
    "introduce",
    "is_known",
    "isolated",
    "open_session",
    "opens_here",
    "remember",
    "stand_apart",
]
