"""A page that shows what a bundle's files make of a picture, in any browser, from any host of plain files.

Nothing that a bundle says becomes markup or script: names are escaped where they stand in `index.html`, and
all else is data that the page fetches and shows as text. Its Content-Security-Policy lets no script run but
the folder's own.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.apps import folder, projects, web
from edgewright.apps.facts import filled, template
from edgewright.apps.page import icon
from edgewright.apps.web import assets
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, Manifest, VariantEntry
from edgewright.runtime.disk import jsonio, outside
from edgewright.runtime.errors import BundleError

if TYPE_CHECKING:
    from edgewright.apps.web.assets import Assets

Say = Callable[[str], None]  # takes a line of what is done

_ENGINES = {  # by a file's format: the name, the package whose version it has, where its files lie
    "tflite": ("LiteRT.js", "@litertjs/core", ("@litertjs/",)),
    "onnx": ("onnxruntime-web", "onnxruntime-web", ("onnxruntime-web/",)),
}
_SUFFIXES = (".tflite", ".onnx")
_THREADS = "_threaded_"  # files for pages that may have threads, which plain hosts do not let them
_IMPORTS = '{"imports": {"@litertjs/wasm-utils": "./assets/@litertjs/wasm-utils/dist/index.js"}}'
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-{imports}'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_MOST_NAME = 64  # letters of a model file's name in the page


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the page has: `variants` in their order, `left_out` why others are not in it, its `bytes`."""

    variants: Sequence[str]
    left_out: Mapping[str, str]
    bytes: int


def write(
    bundle: Path,
    out: Path,
    *,
    variants: Sequence[str] | None = None,
    given: str | None = None,
    overwrite: bool = False,
    say: Say = lambda line: None,
) -> Written:
    """Write the page's folder.

    Args:
        bundle: a bundle's folder; each of its files that is shown is checked.
        variants: which ones; by default all that a browser runs, the recommended first.
        given: a folder with the engines' npm packages, instead of npm's registry.
        overwrite: replace what this has written before, and nobody has changed.
        say: is told of what takes a while.

    Raises:
        OutputError: the place to write to is taken.
        BundleError: the bundle is damaged, or no browser runs its files.
        UnknownNameError: no variant of that name.
        TargetError: the engines cannot be had.
    """
    folder.check(out, overwrite=overwrite)
    opened, entries, left_out, models = outside.settled(bundle, partial(_read, bundle, variants), MANIFEST)
    made = dict(models)
    engines = assets.ready(given, say)
    told = _engines(engines, {_format(entry): None for entry in entries})
    for engine in told.values():
        for file in engine["files"]:
            path = engines.files[file["path"].removeprefix("assets/")]
            made[file["path"]] = path.read_bytes()
    made |= _page(opened.manifest, entries, list(models), told)
    of = {
        "page": opened.manifest.name,
        "sha256": opened.sha256,
        "variants": [entry.name for entry in entries],
    }
    folder.write(out, made, of, overwrite=overwrite)
    return Written(
        variants=[entry.name for entry in entries],
        left_out=left_out,
        bytes=sum(len(raw) for raw in made.values()),
    )


def _read(
    path: Path, names: Sequence[str] | None
) -> tuple[Bundle, list[VariantEntry], dict[str, str], dict[str, bytes]]:
    """The bundle, the variants that are shown, why others are not, and files by their paths in the page."""
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    if manifest.head == "embedding":
        raise BundleError(
            f"expected a bundle that names what it sees, got {path}, whose files give embeddings"
        )
    bundle.check_labels()
    wanted = [bundle.variant(name) for name in dict.fromkeys(names)] if names else list(manifest.variants)
    refused = {entry.name: why for entry in wanted if (why := _refused(manifest, entry))}
    if refused and (names or len(refused) == len(wanted)):
        raise BundleError(next(iter(refused.values())))
    entries = [entry for entry in wanted if entry.name not in refused]
    if not names:
        entries.sort(key=lambda entry: (not entry.parity.is_proven, entry.rank))
    models = {_path(place, entry): bundle.read(entry.file)[1] for place, entry in enumerate(entries)}
    return bundle, entries, refused, models


def _refused(manifest: Manifest, entry: VariantEntry) -> str:
    """Why a browser does not run a file as the page would; empty if it does."""
    try:
        projects.check(manifest, entry, _SUFFIXES, "a browser")
    except BundleError as failure:
        return str(failure)
    return ""


def _format(entry: VariantEntry) -> str:
    return entry.file.file.rpartition(".")[2]


def _path(place: int, entry: VariantEntry) -> str:
    """Where a model file is in the page: any host has such a name, whatever the bundle calls it."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", entry.file.file.rpartition(".")[0])[:_MOST_NAME]
    return f"models/{place + 1}-{stem}.{_format(entry)}"


def _engines(engines: Assets, formats: Mapping[str, None]) -> dict[str, dict[str, Any]]:
    """The engines that these formats need, as the page is told of them."""
    found = {}
    for format_ in formats:
        name, package, places = _ENGINES[format_]
        paths = [path for path in sorted(engines.files) if path.startswith(places) and _THREADS not in path]
        found[format_] = {
            "name": f"{name} {engines.versions[package]}",
            "files": [
                {"path": f"assets/{path}", "bytes": engines.files[path].stat().st_size} for path in paths
            ],
        }
    return found


def _page(
    manifest: Manifest, entries: Sequence[VariantEntry], paths: Sequence[str], engines: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files of the page itself."""
    here = Path(__file__).parent
    made = {path.name: path.read_bytes() for path in sorted(here.iterdir()) if path.suffix in (".js", ".css")}
    worker = made.pop("worker.js").decode("utf-8")  # is filled in last, with what it keeps
    made |= web.scripts()
    made |= {f"icon-{side}.png": icon.png(side) for side in icon.SIZES}
    name, description = manifest.name or "A model", _description(manifest)
    values = {
        "name": name,
        "description": description,
        "imports": _IMPORTS,
        "policy": _POLICY.format(
            imports=base64.b64encode(hashlib.sha256(_IMPORTS.encode()).digest()).decode()
        ),
    }
    # the import map is ours, and its hash is that of what stands there unescaped
    escaped = {key: value if key == "imports" else html.escape(value) for key, value in values.items()}
    made["index.html"] = filled(template(__name__, "index.html"), escaped).encode("utf-8", "replace")
    made["page.webmanifest"] = jsonio.dump(_webmanifest(name, description))
    made["page.json"] = jsonio.dump(
        {
            "name": name,
            "input": {
                "height": manifest.input.height,
                "width": manifest.input.width,
                "channels": manifest.input.channels,
                "fit": manifest.input.fit,
                "resample": manifest.input.resample,
            },
            "head": manifest.head,
            "threshold": manifest.threshold,
            "scores": entries[0].output.shape[-1],
            "labels": list(manifest.labels),
            "files": [_file(entry, path) for entry, path in zip(entries, paths, strict=True)],
            "engines": engines,
            "own_bytes": sum(map(len, made.values())) + len(worker),
        },
        indent=None,
    )
    first = sorted(made)
    rest = [*paths, *(file["path"] for engine in engines.values() for file in engine["files"])]
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(entry.file.sha256.encode())
    for path, raw in sorted(made.items()):
        digest.update(path.encode() + hashlib.sha256(raw).digest())
    made["worker.js"] = filled(
        worker,
        {
            "files": json.dumps([*first, *rest]),
            "first": json.dumps(["./", *(path for path in first if path != "index.html")]),
            "digest": digest.hexdigest()[:16],
        },
    ).encode("utf-8")
    return made


def _file(entry: VariantEntry, path: str) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": path,
        "format": _format(entry),
        "bytes": entry.file.bytes,
        "sha256": entry.file.sha256,
        "proven": entry.parity.is_proven,
        "input": {"dtype": entry.input.dtype, "shape": [1, *entry.input.shape[1:]]},
        "output": {"scale": entry.output.scale, "zero_point": entry.output.zero_point},
    }


def _description(manifest: Manifest) -> str:
    given, count = manifest.input, len(manifest.labels)
    if manifest.is_multi_label:
        does = f"says which of {count:,} labels it has"
    else:
        does = f"says which of {count:,} classes it shows"
    colours = "grey" if given.channels == 1 else "colour"
    return (
        f"Looks at a picture ({given.width} by {given.height} pixels, {colours}) and {does}. All of it "
        "runs in this browser; no picture leaves it."
    )


def _webmanifest(name: str, description: str) -> dict[str, Any]:
    """What a browser reads to install the page (W3C, Web Application Manifest)."""
    return {
        "name": name,
        "short_name": name[:24],
        "description": description,
        "start_url": "./",
        "scope": "./",
        "id": "./",
        "display": "standalone",
        "background_color": "#14171a",
        "theme_color": "#0b7a5e",
        "icons": [
            {"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
            for side in icon.SIZES
            for purpose in ("any", "maskable")
        ],
    }
