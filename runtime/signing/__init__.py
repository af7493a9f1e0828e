"""Signed bundles: who made this one, and is it as that one left it?

The format is OpenSSF Model Signing's: the file `SIGNATURE` in the bundle is a Sigstore bundle (JSON) around a
DSSE envelope around an in-toto statement, which lists every file of the folder with its SHA-256. Its own
library signs (extra `sign`). A device verifies what a key has signed with `cryptography` alone (extra
`verify`); what was signed without a key, by an identity, takes Sigstore's library.
"""

from edgewright.runtime.bundle.manifest import SIGNATURE
from edgewright.runtime.signing.signer import is_encrypted, sign
from edgewright.runtime.signing.statement import Envelope
from edgewright.runtime.signing.verifier import Policy, SignedBy, check, described

__all__ = ["SIGNATURE", "Envelope", "Policy", "SignedBy", "check", "described", "is_encrypted", "sign"]
