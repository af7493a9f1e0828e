"""Setting the machine up: what is missing is said in a line, and nothing half-made stays."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.targets import _wheels
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS, cpuinfo
from edgewright.runtime.disk import files
from edgewright.runtime.errors import MissingExtraError, TargetError

Tools = Callable[..., None]


def refusal() -> str:
    """What `ready` says; it must leave no machine behind."""
    with pytest.raises(TargetError) as refused:
        machine.ready()
    folder = files.cache_folder() / "targets"
    assert not folder.exists() or not list(folder.iterdir())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_arm64_machine_on_a_system_without_apt_and_compiler_says_what_to_do(tools: Tools) -> None:
    said = refusal()
    assert said.startswith(
        "target arm64 needs apt-get (Debian, Ubuntu), or the folder of an arm64 Linux in $"
    )
    assert "qemu-user" in said
    assert "install gcc" in said


def test_arm64_machine_with_a_sysroot_needs_qemu_of_another_system(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(cc="exit 0")
    monkeypatch.setenv(machine.SYSROOT, str(tmp_path))
    assert refusal().startswith("target arm64 needs qemu-aarch64 (install qemu-user")


def test_arm64_machine_refuses_other_systems_than_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "on Linux only" in refusal()


def test_arm64_machine_without_network_says_what_apt_said(tools: Tools) -> None:
    tools(
        apt_get="""case "$*" in
*update*) echo "W: Failed to fetch the list  Temporary failure resolving 'mirror'" >&2; exit 0;;
*) echo "E: Unable to locate package qemu-user" >&2; exit 100;;
esac""",
        dpkg="echo amd64",
        dpkg_deb="exit 0",
        cc="exit 0",
    )
    said = refusal()
    assert said.startswith("apt-get cannot fetch qemu-user for amd64: Failed to fetch the list")
    assert "Temporary failure resolving 'mirror'" in said
    assert "apt-get update" in said


def test_arm64_machine_apt_works_in_folders_of_its_own(tools: Tools, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    tools(
        apt_get=f"""for last; do :; done
while read -r line; do echo "$line" >> "{seen}/$last"; done < "$2"
exit 100""",
        dpkg="echo amd64",
        dpkg_deb="exit 0",
        cc="exit 0",
    )
    refusal()
    text = (seen / "update").read_text()
    for place in ("Dir::State ", "Dir::State::lists ", "Dir::Cache ", "Dir::Cache::archives "):
        (line,) = [line for line in text.splitlines() if line.startswith(place)]
        assert str(files.cache_folder()) in line
    assert 'APT::Architecture "amd64"' in text
    assert "Dir::Etc" not in text  # the system's own sources and keys


@pytest.mark.parametrize("held", ["nothing", "a Python of this machine", "a text"])
def test_arm64_machine_refuses_a_sysroot_without_an_arm64_python(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    tools(apt_get="exit 9", dpkg="exit 9", dpkg_deb="exit 9", cc="exit 9")
    binaries = tmp_path / "sysroot/usr/bin"
    binaries.mkdir(parents=True)
    if held == "a Python of this machine":
        (binaries / "python3").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\x00")
    elif held == "a text":
        (binaries / "python3").write_text("#!/bin/sh\n")
    monkeypatch.setenv(machine.SYSROOT, str(tmp_path / "sysroot"))
    said = refusal()
    assert said.startswith("expected $EDGEWRIGHT_ARM64_SYSROOT to be an arm64 Linux with usr/bin/python3 or")
    assert str(tmp_path / "sysroot") in said


def test_arm64_machine_names_wheels_that_cannot_be_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        TargetError, match=r"cannot get pillow==1\.0\.77 for aarch64 and Python 3\.11: "
    ) as refused:
        _wheels.unpack(["pillow==1.0.77"], "aarch64", "3.11", tmp_path / "site")
    assert "\n" not in str(refused.value)


def test_arm64_machine_names_an_interpreter_that_is_not_installed_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise machine.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.metadata, "version", version)
    with pytest.raises(MissingExtraError, match=r"ai-edge-litert.*pip install 'edgewright\[bench\]'"):
        machine.ready()


def test_arm64_machine_folder_has_another_name_for_other_versions_and_another_sysroot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheels = {"ai-edge-litert": "2.3.0", "onnxruntime": "1.31.1", "numpy": "2.4.6", "pillow": "13.0.0"}
    name = machine._name(wheels)
    assert name.startswith("arm64-litert2.3.0-onnxruntime1.31.1-")
    assert machine._name(wheels) == name
    assert machine._name({**wheels, "numpy": "2.4.7"}) != name
    monkeypatch.setenv(machine.SYSROOT, "/elsewhere")
    assert machine._name(wheels) != name


def test_arm64_machine_needs_no_set_up_a_second_time(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = {name: machine.metadata.version(name) for name in machine._WHEELS}
    folder = files.cache_folder() / "targets" / machine._name(wheels)
    folder.mkdir(parents=True)
    (folder / "about.json").write_text('{"qemu": "7.2"}')
    assert machine.ready() == Machine(folder=folder.resolve(), about={"qemu": "7.2"})


def test_arm64_machine_plugin_that_qemu_takes_in_no_version_means_no_counts(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_compiler", lambda: ("cc",))
    tools(cc="exit 0", qemu='case "$*" in *-plugin*) echo "unknown option" >&2; exit 1;; esac')
    about = {"emulator": "qemu", "interpreter": "python3", "libraries": []}
    assert machine._build_plugin(Machine(folder=tmp_path, about=about)) is False
    tools(qemu='case "$*" in *-plugin*) exit 0;; esac')
    assert machine._build_plugin(Machine(folder=tmp_path, about=about)) is True
    tools(cc="echo 'stdio.h: No such file' >&2; exit 1")
    with pytest.raises(TargetError, match=r"cc cannot compile .*count\.c: stdio\.h: No such file"):
        machine._build_plugin(Machine(folder=tmp_path, about=about))


@pytest.mark.slow
def test_arm64_machine_is_made_of_the_versions_installed_here(emulated: Machine) -> None:
    assert emulated.about["wheels"] == {name: machine.metadata.version(name) for name in machine._WHEELS}
    assert emulated.about["machine"] == "aarch64"
    assert any(package.startswith("qemu-user_") for package in emulated.about["packages"])
    assert not list(emulated.folder.parent.glob(".*"))
    code = "import onnxruntime, numpy; print(onnxruntime.__version__, numpy.__version__)"
    for processor in PROCESSORS:
        done = emulated.run(processor, ("-c", code))
        expected = [emulated.about["wheels"][name] for name in ("onnxruntime", "numpy")]
        assert done.stdout.split() == expected, done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_arm64_machine_takes_a_given_sysroot_instead_of_debians_packages(
    emulated: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysroot = tmp_path / "a sysroot"
    shutil.copytree(emulated.folder / "sysroot", sysroot, symlinks=True, copy_function=os.link)
    (sysroot / "etc/ld.so.cache").unlink(missing_ok=True)
    (sysroot / "etc/ld.so.cache").write_bytes(b"none")
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(machine.SYSROOT, str(sysroot))
    own = machine.ready()
    assert own.about["sysroot"] == str(sysroot)
    assert not any("arm64" in package for package in own.about["packages"])
    code = (
        "import sys; print(sys.prefix); print(open('/etc/ld.so.cache').read(), open('/proc/cpuinfo').read())"
    )
    done = own.run(PROCESSORS[0], ("-c", code))
    prefix, rest = done.stdout.split("\n", 1)
    assert prefix == str(own.folder / "sysroot/usr")
    assert rest == f"none {cpuinfo(PROCESSORS[0])}\n"
