"""What is in the wheel and in the source distribution."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from building import ROOT, build

if TYPE_CHECKING:
    from pathlib import Path

JUNK = ("__pycache__", ".pyc")


def contents(wheel: Path) -> dict[str, int]:
    """Return the wheel's files, with the checksums of those that are not about the wheel itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: 0 if ".dist-info/" in info.filename else info.CRC
            for info in archive.infolist()
        }


def files_of(folder: Path) -> set[str]:
    """Return the files below a folder of this checkout, relative to the checkout's root."""
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = {path.relative_to(ROOT).as_posix() for path in files}
    return {path for path in relative if not any(junk in path for junk in JUNK)}


def test_wheel_holds_the_whole_library(wheel: Path) -> None:
    library = {path.removeprefix("src/") for path in files_of(ROOT / "src" / "cm4storage")}
    assert library - set(contents(wheel)) == set()


def test_wheel_holds_the_whole_repository(wheel: Path) -> None:
    repository = (
        {"cmr.yaml", "meta.yaml"} | files_of(ROOT / "automation") | files_of(ROOT / "script")
    )
    prefix = "cm4storage/repo/"
    packed = {name.removeprefix(prefix) for name in contents(wheel) if name.startswith(prefix)}
    assert packed == repository


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0].partition("-")[0] for name in contents(wheel)}
    assert tops == {"cm4storage"}
    assert [name for name in contents(wheel) if any(junk in name for junk in JUNK)] == []


@pytest.mark.parametrize("parent", ["", "build"])
def test_what_git_ignores_stays_out(wheel: Path, source: Path, tmp_path: Path, parent: str) -> None:
    # hatchling drops the patterns of .gitignore when one of them fits a folder above the project.
    (tmp_path / parent).mkdir(exist_ok=True)
    source = source.rename(tmp_path / parent / "project")
    for folder in ("automation/script", "script", "src/cm4storage"):
        cache = source / folder / "__pycache__"
        cache.mkdir(exist_ok=True)
        (cache / "module.cpython-311.pyc").write_bytes(b"junk")
        (source / folder / "stray.pyc").write_bytes(b"junk")
    (source / "script" / ".mypy_cache").mkdir()
    (source / "script" / ".mypy_cache" / "junk.json").write_text("{}")
    assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)


def test_source_distribution_builds_the_same_wheel(
    wheel: Path, source: Path, tmp_path: Path
) -> None:
    archive = build("sdist", source, tmp_path / "sdist")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    assert contents(build("wheel", unpacked, tmp_path / "wheel")) == contents(wheel)
