"""A small folder that is signed without the library that signs, so that every part of it can be wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime.signing import SIGNATURE

pytest.importorskip("cryptography", reason="pip install 'edgewright[verify]'")

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Json = dict[str, Any]
Change = Callable[[Json], object]
PAYLOAD_TYPE = "application/vnd.in-toto+json"
FILES = {"manifest.json": b"{}", "model.tflite": b"a model", "golden.npz": b"images"}


def _pem(private: Any) -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(private.public_key().public_bytes(serialization.Encoding.PEM, kind))


@dataclass(frozen=True)
class Signed:
    """A folder and who has signed it; `sign` does so again, with what is wrong about it."""

    folder: Path
    private: Any
    public: bytes

    def by(self, private: Any) -> Signed:
        """The same folder, for another key to sign."""
        return Signed(self.folder, private, _pem(private))

    def write_key(self, path: Path, password: bytes | None = None) -> Path:
        """The private key as a PEM file; its public half beside it, as `.pub`."""
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        kind = serialization.PrivateFormat.PKCS8
        path.write_bytes(self.private.private_bytes(serialization.Encoding.PEM, kind, hidden))
        path.with_suffix(".pub").write_bytes(self.public)
        return path

    def statement(self) -> Json:
        digests = {path.name: hashlib.sha256(path.read_bytes()) for path in sorted(self.folder.iterdir())}
        digests.pop(SIGNATURE, None)
        root = hashlib.sha256(b"".join(found.digest() for found in digests.values())).hexdigest()
        return {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": self.folder.name, "digest": {"sha256": root}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [SIGNATURE],
                },
                "resources": [
                    {"name": name, "algorithm": "sha256", "digest": found.hexdigest()}
                    for name, found in digests.items()
                ],
            },
        }

    def envelope(self, payload: bytes, hash_: Any = None) -> Json:
        signed = b"DSSEv1 28 %s %d %s" % (PAYLOAD_TYPE.encode(), len(payload), payload)
        signature = self.private.sign(signed, ec.ECDSA(hash_ or hashes.SHA256()))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": {"hint": hashlib.sha256(self.public).hexdigest()},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }

    def sign(self, change: Change | None = None, outside: Change | None = None, hash_: Any = None) -> None:
        """`change` the statement before it is signed, `outside` what stands around it."""
        statement = self.statement()
        if change:
            change(statement)
        self.sign_bytes(json.dumps(statement).encode(), outside, hash_)

    def sign_bytes(self, payload: bytes, outside: Change | None = None, hash_: Any = None) -> None:
        envelope = self.envelope(payload, hash_)
        if outside:
            outside(envelope)
        (self.folder / SIGNATURE).write_text(json.dumps(envelope), encoding="utf-8")


@pytest.fixture(scope="session")
def keys() -> Mapping[str, Any]:
    """Private keys of every kind."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "k1": ec.SECP256K1()}
    return {
        **{name: ec.generate_private_key(curve) for name, curve in curves.items()},
        "other": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture
def signed(tmp_path: Path, keys: Mapping[str, Any]) -> Signed:
    folder = tmp_path / "signed"
    folder.mkdir()
    for name, raw in FILES.items():
        (folder / name).write_bytes(raw)
    found = Signed(folder, keys["P-256"], _pem(keys["P-256"]))
    found.sign()
    return found
