"""A certificate that signs itself, for one run: a page that comes with it is a secure context on a phone."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgewright.runtime import plugins
from edgewright.runtime.errors import MissingExtraError

_DAYS = 2


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """`context` serves with it; `fingerprint` is the SHA-256 of the certificate, as browsers show it."""

    context: ssl.SSLContext
    fingerprint: str


def check() -> None:
    """Raises `MissingExtraError` where cryptography is not installed."""
    if not plugins.installed("cryptography"):
        raise MissingExtraError("cryptography, which makes the certificate,", "browser")


def certificate(address: str) -> Certificate:
    """One for an IP address, with a key (P-256) that is in no file when this returns."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edgewright bench")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # a phone's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # only its user can read it
        file = Path(folder) / "both.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return Certificate(context=context, fingerprint=made.fingerprint(hashes.SHA256()).hex(":").upper())
