"""The program that LiveKit's SDK runs for each connection is not found, and every other one is."""

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from openrtc_host import lsb_release


@pytest.fixture
def spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's own directory, and behind it a folder with both programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (lsb_release.NAME, "other"):
        (programs / name).write_text("#!/bin/sh\necho ran\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def ran(name: str) -> bool:
    """As the SDK starts it."""
    try:
        pid = os.posix_spawnp(name, [name], os.environ)
    except OSError as error:
        assert error.errno == errno.ELOOP
        return False
    return os.waitpid(pid, 0)[1] == 0


def test_the_sdk_does_not_run_it_and_runs_others(spared: Path) -> None:
    assert ran(lsb_release.NAME) and ran("other")
    lsb_release.spare()
    assert not ran(lsb_release.NAME) and ran("other")


def test_python_still_finds_it(spared: Path) -> None:
    lsb_release.spare()
    assert subprocess.run([lsb_release.NAME], stdout=subprocess.PIPE, check=True).stdout == b"ran\n"


def test_where_nothing_may_be_written_nothing_changes(spared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(spared / "missing"))
    before = os.environ["PATH"]
    lsb_release.spare()
    assert os.environ["PATH"] == before
