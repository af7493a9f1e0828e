"""Debian packages, unpacked into a folder by anyone: no root, nothing installed, the system as it was.

apt runs with the system's own sources, keys and proxies, but with lists and a cache of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgewright.runtime.errors import TargetError
from edgewright.runtime.machine.child import call

_TOOLS = ("apt-get", "dpkg", "dpkg-deb")
_SYSTEM_STATUS = Path("/var/lib/dpkg/status")

# The hooks that are cleared belong to the system's own lists. Fetching is done as the user who asks: as root
# apt would change to one who may not write into the cache folder.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Debug::NoLocking "true";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{status}";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
"""


def available() -> bool:
    """True on Debian and its like."""
    return all(shutil.which(tool) for tool in _TOOLS)


def native() -> str:
    """The architecture of this system's packages, such as amd64."""
    return _call("dpkg", "--print-architecture").stdout.strip()


def unpack(
    packages: Sequence[str],
    architecture: str,
    into: Path,
    scratch: Path,
    *,
    on_this_system: bool,
    alone: bool = False,
) -> list[str]:
    """Fetch packages with all they depend on and unpack them into the folder `into`.

    apt takes no package whose hash is not in a list that a key of the system's has signed.

    Args:
        packages: their names.
        architecture: of the packages, in Debian's words.
        into: made if it is missing.
        scratch: a folder for what is needed meanwhile.
        on_this_system: leave out what is installed here already; else everything down to the C library comes.
        alone: leave out all that they depend on.

    Returns:
        The names of the package files, which hold their versions.

    Raises:
        TargetError: apt could not get them; the message has what it said.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"apt-{architecture}-", dir=scratch))
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    status = _SYSTEM_STATUS if on_this_system and _SYSTEM_STATUS.exists() else folder / "status"
    if status != _SYSTEM_STATUS:
        status.touch()
    configuration = folder / "apt.conf"
    configuration.write_text(
        _CONFIGURATION.format(architecture=architecture, folder=folder.resolve(), status=status.resolve())
    )
    apt = ("apt-get", "-c", str(configuration), "-q")
    updated = _call(*apt, "update")
    # Even of what is installed its own copy is taken: the system's may be removed any day.
    words = ("download",) if alone else ("install", "--download-only", "--reinstall")
    archives = folder / "archives"
    fetched = _call(*apt, *words, *packages, folder=archives)
    found = sorted(archives.glob("*.deb"))
    if fetched.returncode != 0 or not found:
        said = [line for done in (updated, fetched) for line in done.stderr.splitlines()]
        why = next((line for line in said if line.startswith(("E:", "W:"))), "no package came")
        raise TargetError(
            f"apt-get cannot fetch {' '.join(packages)} for {architecture}: {' '.join(why[2:].split())}; "
            "see whether apt-get update works here and whether its sources have that architecture"
        )
    for package in found:
        done = _call("dpkg-deb", "--extract", str(package), str(into))
        if done.returncode != 0:
            raise TargetError(f"dpkg-deb cannot unpack {package.name}: {' '.join(done.stderr.split())}")
    return [package.name for package in found]


def _call(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return call(words, folder)
    except OSError as failure:
        raise TargetError(f"cannot run {words[0]}: {failure.strerror}") from failure
