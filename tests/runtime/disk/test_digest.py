"""The lean SHA-256 is the one everybody means, whichever implementation is taken."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from edgewright.runtime.disk import digest

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
SIZES = (0, 1, 63, 64, 100_000, digest.SMALL, digest.SMALL + 1)

CODE = f"""
import sys
from edgewright.runtime.disk.digest import sha256
for size in {SIZES}:
    raw = bytes(range(256)) * (size // 256 + 1)
    print(sha256(raw[:size]), "_hashlib" in sys.modules)
"""


@pytest.mark.parametrize("size", SIZES)
def test_digest_sha256_is_the_same_however_it_is_cut(size: int) -> None:
    raw = np.random.default_rng(size).bytes(size)
    expected = hashlib.sha256(raw).hexdigest()
    assert digest.sha256(raw) == expected
    assert digest.sha256(memoryview(raw)[: size // 3], raw[size // 3 :]) == expected


def test_digest_sha256_loads_openssl_for_what_is_large_alone(fresh: Fresh) -> None:
    lines = [line.split() for line in fresh(code=CODE).stdout.splitlines()]
    raw = bytes(range(256)) * (SIZES[-1] // 256 + 1)
    assert [line[0] for line in lines] == [hashlib.sha256(raw[:size]).hexdigest() for size in SIZES]
    assert [line[1] for line in lines] == ["False"] * (len(SIZES) - 1) + ["True"]


def test_digest_sha256_without_a_lean_one_is_served_by_openssl(fresh: Fresh) -> None:
    plain = [line.split()[0] for line in fresh(code=CODE).stdout.splitlines()]
    done = fresh(code=CODE, blocked=["_sha2", "_sha256"])
    assert [line.split()[0] for line in done.stdout.splitlines()] == plain, done.stderr
