"""How an app feeds a file of a bundle, on the terminal: a project's own source files, or MediaPipe Tasks.

It compiles as it is pasted, imports and all, with the dependency that its first lines name. Nothing about the
model is written down here: sizes, channels, types, quantization and what the scores mean come from the
manifest, so a source file cannot disagree with the model file it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgewright.apps import projects
from edgewright.apps.facts import Given
from edgewright.apps.howto import kotlin, python, swift
from edgewright.apps.projects import kotlin as kotlin_project
from edgewright.apps.projects import python as python_project
from edgewright.apps.projects import swift as swift_project
from edgewright.runtime.bundle.manifest import Manifest, VariantEntry
from edgewright.runtime.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class _Platform:
    suffixes: tuple[str, ...]
    core: Callable[[Given, str], str]  # of a project, for a file of that name
    by_mediapipe: Callable[[Given], str]
    one_image: bool = True  # the file has to take one at a time


_PLATFORMS = {
    "android": _Platform(
        suffixes=kotlin_project.SUFFIXES, core=kotlin_project.core, by_mediapipe=kotlin.write
    ),
    "ios": _Platform(suffixes=swift_project.SUFFIXES, core=swift_project.core, by_mediapipe=swift.write),
    "raspberry-pi": _Platform(
        suffixes=python_project.SUFFIXES,
        core=python_project.core,
        by_mediapipe=python.write,
        one_image=False,
    ),
}
PLATFORMS = tuple(_PLATFORMS)
_MEDIAPIPE = (".tflite",)


def facts(manifest: Manifest, variant: VariantEntry) -> str:
    """What every app has to do for this file, in a few lines."""
    return Given(manifest=manifest, variant=variant).lines()


def snippet(platform: str, manifest: Manifest, variant: VariantEntry, *, mediapipe: bool = False) -> str:
    """A source file for `platform`, one of `PLATFORMS`, that says what one picture shows: that of the project
    which `edgewright app` writes; with `mediapipe` one by MediaPipe Tasks, which reads size, scaling and
    labels from the file's own metadata.

    Raises:
        BundleError: the platform, or MediaPipe, does not take files of this kind.
    """
    given, its = Given(manifest=manifest, variant=variant), _PLATFORMS[platform]
    if not mediapipe:
        projects.check(manifest, variant, its.suffixes, platform, one_image=its.one_image)
        return its.core(given, given.file)
    projects.check(manifest, variant, _MEDIAPIPE, "MediaPipe")
    if manifest.input.channels != 3:
        raise BundleError(
            f"expected a file that takes colour for MediaPipe, got {given.file}, which takes grey; leave out "
            "--mediapipe"
        )
    return its.by_mediapipe(given)


def for_platform(platform: str, manifest: Manifest, *, mediapipe: bool = False) -> VariantEntry:
    """The smallest variant that is proven and that `snippet` takes for `platform` by its kind.

    Raises:
        BundleError: there is none.
    """
    suffixes = _MEDIAPIPE if mediapipe else _PLATFORMS[platform].suffixes
    return projects.smallest(manifest, suffixes, platform)
