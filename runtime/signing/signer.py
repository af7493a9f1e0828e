"""Signing a bundle, by the library of OpenSSF Model Signing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from edgewright.runtime.bundle.manifest import SIGNATURE, Bundle
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, MissingExtraError, SignatureError
from edgewright.runtime.signing import folder
from edgewright.runtime.signing.statement import Envelope
from edgewright.runtime.signing.verifier import Key, key_bytes


def sign(
    path: str | os.PathLike[str],
    *,
    key: str | os.PathLike[str] | None = None,
    password: bytes | None = None,
) -> Path:
    """Sign a bundle: every file that is in its folder now. A signature that was there is replaced.

    Args:
        path: the bundle folder, all of whose files are checked first.
        key: a PEM file with a private key on P-256, P-384 or P-521. Without one Sigstore is asked for a
            certificate of who is signed in (in CI of the job, else by a browser), and its public log told.
        password: of the key, if it is encrypted.

    Returns:
        The signature file, in the bundle.

    Raises:
        BundleError: the bundle is damaged, or its folder holds what cannot be signed.
        InputError: a key that cannot be used.
        SignatureError: Sigstore gave no certificate, or files were changed meanwhile.
        MissingExtraError: the extra `sign` is not installed.
    """
    path = Path(path)
    signer, hashing = _library()
    verifier = None if key is None else _private(key, password)
    Bundle.open(path).check()
    for name in folder.names(path):
        folder.sha256_of(path / name)  # no link, no folder, no device
        if name.startswith("."):
            raise SignatureError(f"expected the files of a bundle in {path}, got '{name}'; take it away")
    # What .gitignore and the like hold is signed as well: no file may be added unseen.
    config = hashing.Config().set_ignored_paths(paths=[path / SIGNATURE], ignore_git_paths=False)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, SIGNATURE)
        try:
            signing = signer.Config().set_hashing_config(config)
            if key is not None:
                signing.use_elliptic_key_signer(private_key=key, password=password)
            else:
                signing.use_sigstore_signer(use_ambient_credentials=True)
            signing.sign(path, made)
            raw = made.read_bytes()
        except Exception as failure:  # its own errors, those of keys and of the network
            raise SignatureError(f"cannot sign {path}: {failure or type(failure).__name__}") from failure
    envelope = Envelope.parse(raw, str(path / SIGNATURE))
    if verifier is not None:
        verifier.verify(envelope)
    folder.check(path, envelope.files())
    files.write_file(path / SIGNATURE, raw)
    return path / SIGNATURE


def is_encrypted(key: str | os.PathLike[str]) -> bool:
    """Whether a key wants a password. Raises `InputError`: it cannot be read."""
    return b"ENCRYPTED" in key_bytes(key)


def _private(path: str | os.PathLike[str], password: bytes | None) -> Key:
    """The public half of a private key. Raises `InputError`."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = key_bytes(path)
    try:
        private = load_pem_private_key(raw, password)
    except Exception as failure:  # ValueError, TypeError, UnsupportedAlgorithm
        got = "something else"
        if b"ENCRYPTED" in raw:
            got = "one that this password does not open" if password else "one that wants a password"
        elif b"PUBLIC KEY" in raw:
            got = "the public one"
        raise InputError(f"expected a private key (PEM) in {os.fspath(path)}, got {got}") from failure
    return Key.of(private.public_key(), os.fspath(path))


def _library() -> tuple[Any, Any]:
    """Its modules that sign and hash. Raises `MissingExtraError`."""
    try:
        from model_signing import hashing, signing
    except ImportError as failure:
        raise MissingExtraError("model-signing, which signs,", "sign") from failure
    return signing, hashing
