"""After the fork nothing is left of the zygote's chance and environment, and faults of an application are named."""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import pytest
from fake_channel import CONFIGURE

from openrtc_host import boot, context, logs


@pytest.fixture(autouse=True)
def same_process_after() -> Iterator[None]:
    environment, folder = dict(os.environ), os.getcwd()
    yield
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


class Channel:
    """The part of the channel that loading needs."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, str]] = []

    def log(self, level: str, message: str) -> None:
        self.logged.append((level, message))


def application(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    module = types.ModuleType("openrtc_host.application")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openrtc_host.application", module)
    monkeypatch.setattr("openrtc_host.application", module, raising=False)


def configure(folder: Any, **fields: Any) -> dict[str, Any]:
    target = {"script": f"{folder}/main.py"}
    return {**CONFIGURE, "application": {"target": target, "loaded": False, "inspect": None}, **fields}


def test_the_environment_is_what_the_supervisor_said_and_nothing_else() -> None:
    os.environ.update({"AWS_SECRET_ACCESS_KEY": "leak", "TOKENIZERS_PARALLELISM": "false", "HOME": "/root"})
    boot.apply_environment(CONFIGURE, "acme")
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ
    assert os.environ["HOME"] == "/work" and os.environ["OPENAI_API_KEY"] == "sk-canary"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false" and os.environ["OPENRTC_TENANT"] == "acme"
    assert set(os.environ) <= {*boot._FIXED, "HOME", "GREETING", "OPENAI_API_KEY", "OPENRTC_TENANT"}


def test_two_children_of_one_state_draw_different_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    state, legacy = random.getstate(), numpy.random.get_state()
    drawn = []
    for _ in range(2):
        random.setstate(state)
        numpy.random.set_state(legacy)
        tempfile.tempdir = "/somebody/elses"
        boot.reseed()
        drawn.append((random.getrandbits(128), numpy.random.bytes(16)))
        assert tempfile.tempdir is None
    assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_an_application_that_loads_is_given_its_folder_and_its_notices_are_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def load(target: Any, configure: Any) -> Any:
        seen.append((os.getcwd(), os.environ["OPENAI_API_KEY"], context.agent_config()))
        return types.SimpleNamespace(agents=["support"], notices=["max_sessions is NOT IN FORCE"])

    application(monkeypatch, load)
    (tmp_path / "main.py").touch()
    channel = Channel()
    loaded, folder = boot.load(channel, configure(tmp_path))  # type: ignore[arg-type]
    assert loaded.agents == ["support"] and folder == str(tmp_path)
    assert seen == [(str(tmp_path), "sk-canary", {"greeting": "hello", "nested": {"a": 1}})]
    assert channel.logged == [("warn", "max_sessions is NOT IN FORCE")]
    context.agent_config()["nested"]["a"] = 2
    assert context.agent_config()["nested"]["a"] == 1


class Refused(Exception):
    step = "configure"


@pytest.mark.parametrize(
    ("fault", "step", "text"),
    [
        (
            ModuleNotFoundError("No module named 'agency'"),
            "ready",
            "main.py: ModuleNotFoundError: No module named 'agency'",
        ),
        (KeyError("OPENAI_API_KEY"), "ready", "KeyError: 'OPENAI_API_KEY'"),
        (SystemExit(2), "ready", "sys.exit(2) before it gave a pool"),
        (KeyboardInterrupt(), "ready", "KeyboardInterrupt"),
        (
            Refused("tenant_config holds keys; `config import` …"),
            "configure",
            "tenant_config holds keys; `config import` …",
        ),
    ],
)
def test_a_fault_of_an_application_is_named_with_its_step(
    fault: BaseException, step: str, text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(target: Any, configure: Any) -> Any:
        raise fault

    application(monkeypatch, load)
    (tmp_path / "main.py").touch()
    with pytest.raises(boot.SetupError) as caught:
        boot.load(Channel(), configure(tmp_path))  # type: ignore[arg-type]
    assert caught.value.step == step and text in str(caught.value)


def test_a_folder_that_cannot_be_entered_and_a_bad_agent_config_are_configuration_faults(tmp_path: Any) -> None:
    for wrong, text in [
        (configure(tmp_path / "gone"), "enter the application's folder: FileNotFoundError"),
        (configure(tmp_path, agent_config_json="[]"), "agent_config must be a table, not list"),
        ({**CONFIGURE, "application": None}, "was given no application"),
        (configure(tmp_path), f"there is no {tmp_path}/main.py"),
    ]:
        with pytest.raises(boot.SetupError) as caught:
            boot.load(Channel(), wrong)  # type: ignore[arg-type]
        assert caught.value.step == "configure" and text in str(caught.value)


def test_agents_that_are_configured_must_be_registered() -> None:
    def wanted(*names: str, inspect: str | None = None) -> dict[str, Any]:
        application = {**CONFIGURE["application"], "inspect": inspect}
        return {**CONFIGURE, "agents": [{"name": name} for name in names], "application": application}

    assert boot.served(["a", "b"], wanted()) == ["a", "b"]
    assert boot.served(["a", "b"], wanted("b")) == ["b"]
    assert boot.served(["a", "b"], wanted("c", inspect="{}")) == ["a", "b"]
    with pytest.raises(boot.SetupError, match="registers no agent c; those it has: a, b"):
        boot.served(["a", "b"], wanted("b", "c"))
    with pytest.raises(boot.SetupError, match="registers no agent; give it one"):
        boot.served([], wanted())
    with pytest.raises(boot.SetupError, match="an agent named 'a b'"):
        boot.served(["a b"], wanted())
    with pytest.raises(boot.SetupError, match="registers 1025 agents; at most 1024"):
        boot.served([f"a{n}" for n in range(1025)], wanted())


def test_basic_config_of_an_application_sets_its_level_and_makes_no_second_copy(capsys: Any) -> None:
    root = logging.getLogger()
    before = (logging.basicConfig, logging.lastResort, list(root.handlers), root.level)
    lines: list[tuple[Any, str, str]] = []
    try:
        ours = logs.install(lambda *line: lines.append(line))
        logging.debug("unseen")
        logging.basicConfig(level="DEBUG", format="%(message)s", force=True)
        assert root.handlers == [ours]
        logging.getLogger("app").debug("seen %s", "x" * 20_000)
        try:
            raise ValueError("why")
        except ValueError:
            logging.exception("it failed")
        logging.getLogger("app").info("%d", "not a number")
    finally:
        logging.basicConfig, logging.lastResort, root.handlers, root.level = before
    assert [level for _, level, _ in lines] == ["debug", "error"]
    assert lines[0][2].startswith("app: seen xxx") and len(lines[0][2].encode()) == logs.LOG_LINE_BYTES_MAX
    assert "ValueError: why" in lines[1][2]
    assert capsys.readouterr().err == ""
