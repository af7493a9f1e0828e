"""`edgewright verify`: does a bundle give here what it gave where it was made?"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.runtime.verification import Verification

_VERIFIERS = "edgewright.verifiers"  # entry points: functions of a bundle's folder that give verifications

HELP = "check a bundle or a file of it, hashes and outputs, on this machine without data set or TensorFlow"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=Path, metavar="BUNDLE|FILE", help="a bundle folder, or one file that is from a bundle"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="of a lone file: its bundle (default: where it lies)"
    )
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="FILE.npz",
        help="of a lone file: the golden.npz of its bundle, instead",
    )
    parser.add_argument(
        "--target",
        metavar="NAME",
        help="also hold this target's scores against the CPU's, such as gpu; benchmarks' packages bring them",
    )
    signed = parser.add_mutually_exclusive_group()
    signed.add_argument(
        "--key", type=Path, metavar="PUBLIC.pem", help="the bundle has to be signed by this key's other half"
    )
    signed.add_argument(
        "--identity",
        metavar="NAME",
        help="the bundle has to be signed by this address or URL, as a Sigstore certificate names it",
    )
    parser.add_argument(
        "--issuer", metavar="URL", help="with --identity: the provider that has to have vouched for it"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.bundle.parity_table import judged_beside
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.signing import SignedBy
    from edgewright.runtime.verification import verify

    verifier = None if arguments.target is None else _verifier(arguments.target)
    if verifier is not None and not arguments.path.is_dir():
        raise InputError(f"expected a bundle folder with --target, got {arguments.path}")

    policy = None
    if (arguments.key, arguments.identity, arguments.issuer) != (None,) * 3:
        policy = SignedBy(key=arguments.key, identity=arguments.identity, issuer=arguments.issuer)
    found = verify(arguments.path, bundle=arguments.bundle, golden=arguments.golden, require_signature=policy)
    if policy is not None:
        console.say(f"signed by {arguments.key or arguments.identity}: every file is as it was signed")
    columns = ("variant", "kernels", "max abs error", "limit", "verdict", "reason")
    console.table(f"Golden outputs of {arguments.path}", columns, _rows(found), left=2)
    beside: list[Verification] = []
    if verifier is not None:
        beside = verifier(arguments.path)
        console.table(
            f"Golden outputs on {arguments.target}, beside the CPU's", columns, _rows(beside), left=2
        )
        found = [*found, *beside]
    if arguments.path.is_dir():
        for variant in Bundle.open(arguments.path).manifest.variants:
            if told := judged_beside(variant.parity):
                console.say(f"judged where it was made, {variant.name}: {told}")
            if not variant.parity.is_proven:
                console.complain(f"{variant.name} is {variant.parity.verdict}: {variant.parity.reason}")
    failed = [v for v in found if v.status == "failed"]
    for v in failed:
        alike = any(v is one for one in beside)
        there = (
            f"on {arguments.target} what it gives on the CPU"
            if alike
            else "here what it gave where it was made"
        )
        console.complain(f"{v.variant} does not give {there}")
    if not any(v.status == "ok" for v in found) and not failed:
        console.complain(f"nothing could be run; {found[0].reason}")
        return 1
    return 1 if failed else 0


def _rows(found: Sequence[Verification]) -> list[tuple[str, ...]]:
    return [
        (v.variant, v.kernels, f"{v.max_abs_error:.2g}", f"{v.limit:.2g}", v.status, v.reason)
        if v.kernels
        else (v.variant, "-", "-", "-", v.status, v.reason)
        for v in found
    ]


def _verifier(target: str) -> Callable[[Path], list[Verification]]:
    """What another package brings for a target. Raises `UnknownNameError`, `InputError`."""
    from importlib.metadata import entry_points

    from edgewright.runtime.errors import InputError, UnknownNameError

    known = {entry.name: entry for entry in entry_points(group=_VERIFIERS)}
    if target not in known:
        raise UnknownNameError("target", target, known)
    try:
        found: Callable[[Path], list[Verification]] = known[target].load()
    except ImportError as failure:
        raise InputError(f"target {target} cannot be used here: {failure}") from failure
    return found
