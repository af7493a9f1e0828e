"""Devices that are this machine: behind a stand-in for ssh that runs a shell, and behind a real sshd on
loopback. Both have a home of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewright.benchmarks.targets.ssh import packing

# What is behind `--` is the host and what its shell is to run; the login prints something, as they do.
_STAND_IN = """\
#!/bin/sh
while [ "$1" != -- ]; do shift; done
echo "$2" >> {folder}/asked
echo 'Welcome to a device'
export HOME={folder}/home
sh -c "$3"  # no exec: ssh is killed with the line, what it runs there sees its input end
"""
_CLIENT = """\
Host device
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/client
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
Host stranger
  HostName 127.0.0.1
  Port {port}
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking yes
Host guest
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/other
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
Host nobody
  HostName 127.0.0.1
  Port 9
"""
_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv HOME={folder}/home
"""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a test sees of a device: its home, and the server that all sessions come from, if there is one."""

    home: Path
    pid: int = 0

    @property
    def kept(self) -> Path:
        return self.home / ".cache/edgewright/ssh"

    def runs(self) -> list[Path]:
        return list(self.kept.glob("run-*"))

    def left(self) -> list[Path]:
        """Run folders that are still there when an agent has had time to notice that nobody is."""
        end = time.monotonic() + 10
        while self.runs() and time.monotonic() < end:
            time.sleep(0.05)
        return self.runs()


@pytest.fixture
def device(tmp_path: Path, programs: Callable[[str, str], Path]) -> Device:
    """One that the stand-in reaches."""
    (tmp_path / "home").mkdir()
    programs("ssh", _STAND_IN.format(folder=tmp_path))
    return Device(home=tmp_path / "home")


@pytest.fixture
def own_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is fetched: the device's environment sees the packages of this one behind its own."""
    lines = [f"import sys; sys.path.append({path!r})" for path in sys.path if "-packages" in path]
    made = tmp_path / "packages.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("zz-packages.pth"), "\n".join(lines) + "\n")
    monkeypatch.setattr(packing, "fetched", lambda *unused: {made.name: made})
    return made


@pytest.fixture
def sshd(tmp_path: Path, programs: Callable[[str, str], Path]) -> Iterator[Device]:
    """A real OpenSSH server on loopback, its configuration and keys its own; `ssh device` reaches it."""
    program, keygen = Path("/usr/sbin/sshd"), shutil.which("ssh-keygen")
    if not program.exists() or keygen is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH's server and client are not here")
    if os.geteuid() == 0:  # its own user's place, which Debian's service makes
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (tmp_path / "home").mkdir()
    for name in ("host", "client", "other"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"folder": tmp_path, "port": port, "user": getpass.getuser()}
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "client_config").write_text(_CLIENT.format(**told))
    (tmp_path / "server_config").write_text(_SERVER.format(**told))
    programs("ssh", f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path / "client_config"} "$@"\n')
    words = [str(program), "-D", "-e", "-f", str(tmp_path / "server_config")]
    with (tmp_path / "server_log").open("wb") as log, subprocess.Popen(words, stderr=log) as server:
        try:
            _until_open(port, server)
            yield Device(home=tmp_path / "home", pid=server.pid)
        finally:
            server.kill()


def _until_open(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("sshd does not listen")
