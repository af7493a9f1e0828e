"""A Vulkan in software: where it comes from, and what is said where it cannot be had."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgewright.benchmarks.targets import _apt
from edgewright.benchmarks.targets.gpu import devices, vulkan
from edgewright.runtime.disk import files
from edgewright.runtime.errors import TargetError


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "real", lambda: ())


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "chromium"
    folder.mkdir()
    for name in (vulkan.DRIVER, vulkan.LOADER, "libvk_swiftshader.so"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(vulkan, "_INSTALLED", (tmp_path / "none", folder))
    return folder


def test_vulkan_is_copied_from_an_installed_chromium_once(chromium: Path) -> None:
    said: list[str] = []
    found = vulkan.ready(said.append)
    assert said == ["setting up target gpu, once: a Vulkan in software"]
    assert found.folder is not None
    assert (found.folder / vulkan.LOADER).read_text() == vulkan.LOADER
    driver = json.loads((found.folder / vulkan.DRIVER).read_bytes())
    assert (found.folder / driver["ICD"]["library_path"]).is_file()
    (chromium / vulkan.LOADER).unlink()
    assert vulkan.ready(said.append) == found
    assert len(said) == 1


def test_vulkan_of_a_real_gpu_is_the_systems_own(monkeypatch: pytest.MonkeyPatch, chromium: Path) -> None:
    monkeypatch.setattr(devices, "real", lambda: ("A GPU",))
    assert vulkan.ready().folder is None
    assert vulkan.ready(software=True).folder is not None


def unpacked(monkeypatch: pytest.MonkeyPatch, *, link: str = "", driver: bool = True) -> list[str]:
    """Let apt bring packages that hold what is told; the names that it is asked for."""
    asked: list[str] = []

    def unpack(
        packages: tuple[str, ...], architecture: str, into: Path, scratch: Path, **how: bool
    ) -> list[str]:
        asked.extend(packages)
        assert how == {"on_this_system": False, "alone": True}
        (into / "usr/lib").mkdir(parents=True)
        if link:
            (into / "usr/lib" / vulkan.LOADER).symlink_to(link)
        else:
            (into / "usr/lib" / vulkan.LOADER).write_bytes(b"loader")
        if driver and packages == ("chromium",):
            (into / "usr/lib/libvk_swiftshader.so").write_bytes(b"driver")
        return [f"{name}_1_amd64.deb" for name in packages]

    monkeypatch.setattr(vulkan, "_INSTALLED", ())
    monkeypatch.setattr(_apt, "available", lambda: True)
    monkeypatch.setattr(_apt, "native", lambda: "amd64")
    monkeypatch.setattr(_apt, "unpack", unpack)
    return asked


def test_vulkan_comes_from_whichever_package_has_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unpacked(monkeypatch)
    folder = vulkan.ready().folder
    assert folder is not None
    assert asked == ["chromium-common", "libvulkan1", "chromium"]
    kept = {file.name for file in folder.iterdir()}
    assert kept == {"about.json", vulkan.DRIVER, vulkan.LOADER, "libvk_swiftshader.so"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"driver": False}, "expected libvk_swiftshader.so in Debian's chromium packages, got none"),
        (
            {"link": "/etc/hostname"},
            "expected libvulkan.so.1 inside its package, got a link to /etc/hostname",
        ),
    ],
)
def test_vulkan_of_packages_that_are_not_as_known_is_refused(
    monkeypatch: pytest.MonkeyPatch, how: dict[str, object], said: str
) -> None:
    unpacked(monkeypatch, **how)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match=said):
        vulkan.ready()
    assert not list((files.cache_folder() / "targets").glob("gpu-*"))


def test_vulkan_says_what_a_system_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vulkan, "_INSTALLED", (tmp_path,))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="target gpu needs apt-get"):
        vulkan.ready()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "on Linux" in vulkan.missing()
