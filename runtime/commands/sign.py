"""`edgewright sign`: a signature over every file of a bundle, in OpenSSF Model Signing's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgewright.runtime import console

HELP = "sign a bundle, so that others see that it is yours and that nobody has changed it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle folder")
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument(
        "--key", type=Path, metavar="PRIVATE.pem", help="by a private key on P-256, P-384 or P-521"
    )
    by.add_argument(
        "--keyless",
        action="store_true",
        help="by your identity: Sigstore gives a certificate for who is signed in, in CI or by a browser, "
        "and keeps it in a public log",
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime import signing
    from edgewright.runtime.errors import InputError

    password = None
    if arguments.key is not None and signing.is_encrypted(arguments.key):
        if not sys.stdin.isatty():
            raise InputError(
                f"expected a terminal to ask for the password of {arguments.key}, got none; "
                "give a key without a password"
            )
        from getpass import getpass

        password = getpass(f"password of {arguments.key}: ").encode()
    path = signing.sign(arguments.bundle, key=arguments.key, password=password)
    how = f"--key PUBLIC.pem, the other half of {arguments.key}"
    if arguments.keyless:
        how = "--identity and --issuer, as the certificate names you"
    console.say(f"wrote {path}; it is checked by: edgewright verify {arguments.bundle} {how}")
    return 0
