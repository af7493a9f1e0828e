"""What a signature file says, read with suspicion: nothing in it is believed before its key has been checked,
and of what is signed only the form that a bundle can have is taken.

Sources: the Sigstore bundle, version 0.3 (https://docs.sigstore.dev/about/bundle/); DSSE 1.0.0
(https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md); in-toto Statement v1
(https://github.com/in-toto/attestation/tree/main/spec/v1); the predicate of OpenSSF Model Signing,
version 1.0 (https://github.com/sigstore/model-transparency).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.runtime.disk import digest, jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import SignatureError

MAX_BYTES = 2**20  # of a signature file: 5,000 files, or a certificate and its log entry a hundred times over
_MEDIA = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A signature file. `hint` is the SHA-256 of the public key (PEM) that should verify it, empty where
    a certificate stands in its place; `signature` is DER, over `signed()`; `payload` what was signed."""

    hint: str
    payload: bytes
    signature: bytes
    where: str

    @staticmethod
    def parse(raw: bytes, where: str) -> Envelope:
        """`where` names the file in messages. Raises `SignatureError`."""
        obj = jsonio.parse(raw, where, SignatureError)
        obj.choice("mediaType", (_MEDIA,))
        material = obj.object("verificationMaterial")
        hint = ""
        if material.has("publicKey"):
            hint = _hash(material.object("publicKey"), "hint")
        elif not material.has("certificate"):
            raise material.fail("publicKey", "the key's hash, where there is no certificate")
        envelope = obj.object("dsseEnvelope")
        envelope.choice("payloadType", (_PAYLOAD,))
        signatures = envelope.objects("signatures")
        if len(signatures) != 1:
            raise envelope.fail("signatures", "a list of one signature")
        return Envelope(
            hint=hint,
            payload=_base64(envelope, "payload"),
            signature=_base64(signatures[0], "sig"),
            where=where,
        )

    def signed(self) -> bytes:
        """The bytes that `signature` is over: DSSE's pre-authentication encoding."""
        return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(self.payload), self.payload)

    def files(self) -> Mapping[str, str]:
        """SHA-256 of every file, by its name in the folder. Raises `SignatureError`: another statement."""
        obj = jsonio.parse(self.payload, f"{self.where}: payload", SignatureError)
        obj.choice("_type", (_STATEMENT,))
        obj.choice("predicateType", (_PREDICATE,))
        subjects = obj.objects("subject")
        if len(subjects) != 1:
            raise obj.fail("subject", "a list of one model")
        predicate = obj.object("predicate")
        serialization = predicate.object("serialization")
        serialization.choice("method", ("files",))
        serialization.choice("hash_type", ("sha256",))
        if serialization.flag("allow_symlinks"):
            raise serialization.fail("allow_symlinks", "false")
        found: dict[str, str] = {}
        for resource in predicate.objects("resources"):
            name = resource.text("name")
            if name in ("", ".", "..") or any(c in name for c in "/\\:\0") or name in found:
                raise resource.fail("name", "the plain name of a file in the bundle's own folder, once")
            resource.choice("algorithm", ("sha256",))
            found[name] = _hash(resource, "digest")
        root = digest.sha256(b"".join(map(bytes.fromhex, found.values())))
        if not found or _hash(subjects[0].object("digest"), "sha256") != root:
            raise obj.fail("subject", "the SHA-256 of the digests of its files")
        return found


def _base64(obj: JsonObject, key: str) -> bytes:
    try:
        return base64.b64decode(obj.text(key), validate=True)
    except (binascii.Error, ValueError) as failure:
        raise obj.fail(key, "base64") from failure


def _hash(obj: JsonObject, key: str) -> str:
    value = obj.text(key)
    if len(value) != 64 or not _HEX.issuperset(value):
        raise obj.fail(key, "a SHA-256 of 64 hexadecimal digits")
    return value
