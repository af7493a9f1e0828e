"""How an app feeds a file of a bundle: a source file, filled in from the model file's own contract.

It compiles as it is pasted, imports and all, with the dependency that its first lines name. Nothing about the
model is written down here: sizes, channels, types, quantization and what the scores mean come from the
manifest, so a source file cannot disagree with the model file it is for.
"""

from __future__ import annotations

from edgewright.apps.howto import kotlin, python, swift
from edgewright.apps.facts import Given
from edgewright.runtime.bundle.manifest import Manifest, VariantEntry
from edgewright.runtime.errors import BundleError

_LANGUAGES = {"android": kotlin.CODE, "ios": swift.CODE, "raspberry-pi": python.CODE}
PLATFORMS = tuple(_LANGUAGES)


def facts(manifest: Manifest, variant: VariantEntry) -> str:
    """What every app has to do for this file, in a few lines."""
    return Given(manifest=manifest, variant=variant).lines()


def snippet(platform: str, manifest: Manifest, variant: VariantEntry, *, mediapipe: bool = False) -> str:
    """A source file for `platform`, one of `PLATFORMS`, that says what one picture shows; with `mediapipe`
    by MediaPipe Tasks, which reads size, scaling and labels from the file's own metadata.

    Raises:
        BundleError: the platform, or MediaPipe, does not take files of this kind.
    """
    given, code = Given(manifest=manifest, variant=variant), _LANGUAGES[platform]
    suffixes = (".tflite",) if mediapipe else code.suffixes
    if given.suffix not in suffixes:
        raise BundleError(
            f"expected a {' or '.join(suffixes)} file for {'MediaPipe' if mediapipe else platform}, got "
            f"{given.file}; export one with --variants"
        )
    if variant.input.shape[0] != 1 and (mediapipe or code.one_image):
        raise BundleError(
            f"expected a file that takes one image at a time, got {given.file}; export without --batch"
        )
    if mediapipe and manifest.input.channels != 3:
        raise BundleError(
            f"expected a file that takes colour for MediaPipe, got {given.file}, which takes grey; leave out "
            "--mediapipe"
        )
    return code.write(given, mediapipe)


def for_platform(platform: str, manifest: Manifest, *, mediapipe: bool = False) -> VariantEntry:
    """The smallest variant that is proven and that `snippet` takes for `platform` by its kind.

    Raises:
        BundleError: there is none.
    """
    suffixes = (".tflite",) if mediapipe else _LANGUAGES[platform].suffixes
    fitting = [v for v in manifest.variants if v.file.file.endswith(suffixes)]
    proven = [v for v in fitting if v.parity.is_proven]
    if not proven:
        got = f"none that is proven; name one by --variant: {fitting[0].name}" if fitting else "none"
        raise BundleError(f"expected a {' or '.join(suffixes)} file for {platform} in the bundle, got {got}")
    return min(proven, key=lambda variant: variant.file.bytes)
