"""Whether a bundle is as someone whom the user trusts has signed it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgewright.runtime.bundle.manifest import SIGNATURE
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import EdgewrightError, InputError, MissingExtraError, SignatureError
from edgewright.runtime.signing import folder
from edgewright.runtime.signing.statement import Envelope

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

MAX_KEY_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class SignedBy:
    """Whose signature counts: a public key, or an identity that a provider vouches for.

    `key` is a PEM file, or its bytes, with an elliptic-curve key (P-256, P-384 or P-521); `identity` is
    the address or URL in a Sigstore certificate, `issuer` the URL of the provider that vouched for it.
    """

    key: str | os.PathLike[str] | bytes | None = None
    identity: str | None = None
    issuer: str | None = None

    def __post_init__(self) -> None:
        """Raises `InputError`: neither, both, or an identity without its issuer."""
        if bool(self.key) == bool(self.identity or self.issuer):
            raise InputError("expected a public key or an identity that has to have signed, got both or none")
        if bool(self.identity) != bool(self.issuer):
            raise InputError(
                "expected an identity together with its issuer (such as https://accounts.google.com), got "
                "one of them: any provider could vouch for any name"
            )


Policy: TypeAlias = str | os.PathLike[str] | bytes | SignedBy  # a PEM file or its bytes is a public key


def check(path: Path, policy: Policy) -> Mapping[str, str]:
    """See that a bundle is whole, and as it was signed by whom `policy` names.

    Returns:
        SHA-256 of every file of the folder but the signature, by name, as it was signed.

    Raises:
        SignatureError: no signature, a damaged one, that of someone else, or a file that was added, taken
            away, renamed, replaced by a link, or changed.
        InputError: `policy` names no public key that can be used.
        MissingExtraError: nothing here can verify it.
    """
    if not isinstance(policy, SignedBy):
        policy = SignedBy(key=policy)
    key = None if policy.key is None else Key.load(policy.key)
    raw = folder.read(path)
    envelope = Envelope.parse(raw, str(path / SIGNATURE))
    if key is not None:
        key.verify(envelope)
    else:
        _verify_identity(raw, envelope, str(policy.identity), str(policy.issuer))
    signed = envelope.files()
    folder.check(path, signed)
    return signed


def described(path: Path) -> str:
    """What a bundle's signature says, none of which is verified here."""
    if not os.path.lexists(path / SIGNATURE):
        return "none"
    try:
        envelope = Envelope.parse(folder.read(path), SIGNATURE)
        signed = envelope.files()
    except EdgewrightError as failure:
        return f"unreadable: {failure}"
    by = f"the key with SHA-256 {envelope.hint[:12]}…" if envelope.hint else "an identity"
    try:
        folder.check(path, signed)
    except EdgewrightError as failure:
        return f"broken, said to be by {by}: {failure}"
    return f"said to be by {by}, over {len(signed)} files; whether it is: edgewright verify"


@dataclass(frozen=True)
class Key:
    """A public key, and the SHA-256 of its PEM by which signature files name it."""

    public: EllipticCurvePublicKey
    hash: HashAlgorithm
    sha256: str

    @staticmethod
    def load(given: str | os.PathLike[str] | bytes) -> Key:
        """Raises `InputError`, `MissingExtraError`."""
        raw, where = (given, "the public key") if isinstance(given, bytes) else (key_bytes(given), str(given))
        serialization, _, _ = _cryptography()
        try:
            public = serialization.load_pem_public_key(raw)
        except Exception as failure:  # ValueError, UnsupportedAlgorithm and others, as OpenSSL sees fit
            if b"PRIVATE KEY" in raw:
                raise InputError(
                    f"expected a public key, got the private one in {where}; "
                    f"make it with: openssl ec -in {where} -pubout -out public.pem"
                ) from failure
            raise InputError(f"expected a public key (PEM), got something else in {where}") from failure
        return Key.of(public, where)

    @staticmethod
    def of(public: Any, where: str) -> Key:
        """Raises `InputError` unless Model Signing's format takes such a key."""
        serialization, ec, hashes = _cryptography()
        takes = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384, "secp521r1": hashes.SHA512}
        curve = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__
        if curve not in takes:
            raise InputError(f"expected a key on P-256, P-384 or P-521 in {where}, got {curve.strip('_')}")
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return Key(public, takes[curve](), hashlib.sha256(pem).hexdigest())

    def verify(self, envelope: Envelope) -> None:
        """Raises `SignatureError` unless this key has signed it."""
        from cryptography.exceptions import InvalidSignature

        if not envelope.hint:
            raise SignatureError(
                f"expected a signature by a key in {envelope.where}, got one by an identity; verify it with "
                "--identity and --issuer"
            )
        if envelope.hint != self.sha256:
            raise SignatureError(
                f"expected a signature by the key with SHA-256 {self.sha256[:12]}… in {envelope.where}, "
                f"got one by {envelope.hint[:12]}…; ask whoever sent the bundle for its public key"
            )
        _, ec, _ = _cryptography()
        try:
            self.public.verify(envelope.signature, envelope.signed(), ec.ECDSA(self.hash))
        except InvalidSignature as failure:
            raise SignatureError(
                f"the signature in {envelope.where} is not by that key, or what it covers was changed; "
                "get the bundle again from who made it"
            ) from failure


def key_bytes(path: str | os.PathLike[str]) -> bytes:
    """A PEM file, which may lie behind a link. Raises `InputError`."""
    return outside.read(Path(path), InputError, MAX_KEY_BYTES)


def _cryptography() -> tuple[Any, Any, Any]:
    """Its modules for keys, curves and hashes. Raises `MissingExtraError`."""
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as failure:
        raise MissingExtraError("cryptography, which verifies signatures,", "verify") from failure
    return serialization, ec, hashes


def _verify_identity(raw: bytes, envelope: Envelope, identity: str, issuer: str) -> None:
    """See by Sigstore's library that a certificate of that identity has signed, and that the log knows it."""
    if envelope.hint:
        raise SignatureError(
            f"expected a signature by an identity in {envelope.where}, got one by a key; verify it with --key"
        )
    try:
        from sigstore.models import Bundle
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity
    except ImportError as failure:
        raise MissingExtraError("sigstore, which verifies identities,", "sign") from failure
    try:
        verifier = Verifier.production()
        _, payload = verifier.verify_dsse(Bundle.from_json(raw), Identity(identity=identity, issuer=issuer))
    except Exception as failure:  # its own errors, and those of the network beneath
        raise SignatureError(
            f"expected a signature by {identity} ({issuer}) in {envelope.where}, which was not verified: "
            f"{failure or type(failure).__name__}"
        ) from failure
    if payload != envelope.payload:  # what is read is what was verified
        raise SignatureError(f"expected one payload in {envelope.where}, got two readings of it")
