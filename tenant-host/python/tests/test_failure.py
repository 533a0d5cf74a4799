"""What an application raised is told in one line, and what a wall denied is recognised in it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from openrtc_host import denied, failure


def raised(source: str, file: Path) -> BaseException:
    """What running the source as that file raises."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        exec(compile(source, str(file), "exec"), {"__name__": "__main__"})
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def test_the_last_place_of_the_application_is_named_not_that_of_a_library(tmp_path: Path) -> None:
    source = "import json\ndef greet():\n    json.loads('{')\ngreet()\n"
    text = failure.summary(raised(source, tmp_path / "main.py"), str(tmp_path))
    assert text.startswith("JSONDecodeError: Expecting property name")
    assert text.endswith("(main.py:3, in greet)")


def test_a_virtual_environment_inside_the_application_is_not_the_application(tmp_path: Path) -> None:
    library = tmp_path / ".venv/lib/python3.11/site-packages/lib.py"
    error = raised("raise ValueError('deep')", library)
    assert failure.summary(error, str(tmp_path)) == "ValueError: deep"


def test_a_syntax_error_names_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def f(:\n")
    error = raised(f"import runpy; runpy.run_path({str(tmp_path / 'main.py')!r})", Path("/usr/lib/x.py"))
    assert failure.summary(error, str(tmp_path)).endswith("(main.py:1)")


def test_a_summary_is_bounded_whole_and_never_raises() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure.summary(Odd()) == "Odd: (its message could not be made)"
    text = failure.summary(ValueError("ü" * 5000))
    assert len(text.encode()) <= failure.ERROR_BYTES_MAX and text.endswith("… (cut)")
    assert failure.cut("a\ud800b", 10) == "a?b"
    assert failure.summary(ExceptionGroup("g", [ValueError("inner")])).startswith("ValueError: inner")


def path_as_the_supervisor_finds_it(error: str, grants: list[str]) -> str | None:
    """`supervisor/src/host/denied.rs`, line by line."""
    if "EACCES" not in error and "permission denied" not in error.lower():
        return None
    for word in re.split(r"[\s'\"`()\[\],;]", error):
        word = word.rstrip(":.")
        if word.startswith("/") and not any(Path(word).is_relative_to(grant) for grant in grants):
            return word
    return None


def test_a_denied_path_deep_below_is_the_first_path_of_the_error(tmp_path: Path) -> None:
    source = (
        "def load():\n"
        "    try:\n"
        "        raise PermissionError(13, 'Permission denied', '/srv/models/vad.onnx')\n"
        "    except OSError as error:\n"
        "        raise RuntimeError('could not load /opt/other') from error\n"
        "try:\n"
        "    load()\n"
        "except RuntimeError:\n"
        "    raise ValueError('no voice')\n"
    )
    text = failure.summary(raised(source, tmp_path / "main.py"), str(tmp_path))
    assert text.startswith(
        "PermissionError: [Errno 13] Permission denied: '/srv/models/vad.onnx'; it ended as ValueError"
    )
    assert path_as_the_supervisor_finds_it(text, ["/usr"]) == "/srv/models/vad.onnx"


def test_a_relative_path_is_told_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("notes.txt", b"notes.txt", Path("notes.txt")):
        text = failure.summary(PermissionError(errno.EACCES, "Permission denied", name), str(tmp_path))
        assert path_as_the_supervisor_finds_it(text, []) == str(tmp_path / "notes.txt")


def test_a_denied_path_is_told_once_where_nothing_else_happened() -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/root/key")
    assert failure.summary(error) == "PermissionError: [Errno 13] Permission denied: '/root/key'"
    assert '`[wall] read_paths = ["/root/key"]`' in (denied.remedy(error) or "")
    dotenv = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/app/.env")
    assert "[tenants.*]" in (denied.remedy(dotenv) or "")
    assert denied.remedy(ValueError("x")) is None


def test_a_denied_port_names_the_line_that_grants_it_and_no_path() -> None:
    error = PermissionError(errno.EACCES, "Connect call failed ('10.0.0.7', 5432)")
    text = failure.summary(error)
    assert "TCP port 5432" in text and "connect_ports" in text
    assert path_as_the_supervisor_finds_it(text, []) is None
    assert denied.port(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.7', 5432)")) is None


def test_causes_that_point_at_each_other_are_walked_once() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__context__ = second, first
    assert list(denied.causes(first)) == [first, second]
