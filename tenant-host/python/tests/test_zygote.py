"""A zygote says why it is unfit, and is as it was after it has played a host."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

from openrtc_host import dry_run, logs, packing, threads, zygote


@pytest.fixture(autouse=True)
def same_process_after() -> Iterator[None]:
    root = logging.getLogger()
    before = (logging.basicConfig, logging.lastResort, list(root.handlers), root.level)
    environment = dict(os.environ)
    yield
    logging.basicConfig, logging.lastResort, root.handlers, root.level = before
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(autouse=True)
def threads_of_other_tests_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    original = threads.further
    before = original()
    monkeypatch.setattr(threads, "further", lambda: {k: v for k, v in original().items() if k not in before})


def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, name: str, source: str) -> None:
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_an_import_that_fails_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    module(monkeypatch, tmp_path, "broken_plugin", "raise ImportError('libfoo.so is missing')")
    module(monkeypatch, tmp_path, "leaving_plugin", "raise SystemExit(2)")
    with pytest.raises(zygote.Unfit, match="import of no_such_plugin .preload. failed: ModuleNotFoundError") as caught:
        zygote.preload("no_such_plugin")
    assert f"install it into {sys.prefix}, or leave it out of `preload`" in str(caught.value)
    with pytest.raises(zygote.Unfit, match=r"libfoo.so is missing \(broken_plugin.py:1\)"):
        zygote.preload("broken_plugin")
    with pytest.raises(zygote.Unfit, match="leaving_plugin"):
        zygote.preload("leaving_plugin")


def test_an_import_that_hangs_ends_at_the_deadline_even_if_it_catches_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(zygote, "_LOAD_S", 0.2)
    module(
        monkeypatch,
        tmp_path,
        "hanging_plugin",
        "import time\ntry:\n    time.sleep(60)\nexcept Exception:\n    time.sleep(60)\n",
    )
    before = signal.getsignal(signal.SIGALRM)
    began = time.monotonic()
    with pytest.raises(zygote.Unfit, match="import of hanging_plugin .preload. did not end within"):
        zygote.preload("hanging_plugin")
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_preloaded_is_as_configured_or_read_from_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = types.ModuleType("openrtc_host.scan")
    monkeypatch.setitem(sys.modules, "openrtc_host.scan", scan)
    monkeypatch.setattr("openrtc_host.scan", scan, raising=False)
    scan.preload = lambda target: [f"found in {target['script']}"]  # type: ignore[attr-defined]
    target = {"script": "/srv/app/main.py"}
    assert zygote.named({"preload": ["a", "b"], "target": target}) == ["a", "b"]
    assert zygote.named({"preload": "auto", "target": target}) == ["found in /srv/app/main.py"]
    scan.preload = lambda target: [][1]  # type: ignore[attr-defined]
    with pytest.raises(zygote.Unfit, match="reading the imports of /srv/app/main.py failed"):
        zygote.named({"preload": "auto", "target": target})


def loading(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    application = types.ModuleType("openrtc_host.application")
    application.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openrtc_host.application", application)
    monkeypatch.setattr("openrtc_host.application", application, raising=False)


def test_an_application_without_its_key_is_told_what_load_app_means(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def keyless(target: Any, configure: Any) -> Any:
        assert configure is None and os.getcwd() == str(tmp_path)
        raise KeyError("OPENAI_API_KEY")

    loading(monkeypatch, keyless)
    before = os.getcwd()
    with pytest.raises(zygote.Unfit) as caught:
        zygote.load({"script": f"{tmp_path}/main.py"})
    assert os.getcwd() == before
    assert f"loading {tmp_path}/main.py failed: KeyError: 'OPENAI_API_KEY'" in str(caught.value)
    assert 'set load_app = "host"' in str(caught.value)


def test_a_prewarm_that_hangs_and_a_script_that_exits_are_unfit(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(zygote, "_LOAD_S", 0.2)
    loading(monkeypatch, lambda target, configure: time.sleep(60))
    with pytest.raises(zygote.Unfit, match=r"its prewarm included\) did not end within"):
        zygote.load({"script": f"{tmp_path}/main.py"})
    loading(monkeypatch, lambda target, configure: sys.exit(3))
    with pytest.raises(zygote.Unfit, match=r"ended in sys.exit\(3\)"):
        zygote.load({"script": f"{tmp_path}/main.py"})


def test_a_second_thread_is_named_with_what_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_SETTLE_S", 0.1)
    end = threading.Event()
    with threads.watched("import of poller_plugin"):
        poller = threading.Thread(target=end.wait, name="poller")
        poller.start()
    try:
        with pytest.raises(threads.Started) as caught:
            threads.require_one()
    finally:
        end.set()
        poller.join()
    assert "thread 'poller' (started by import of poller_plugin)" in str(caught.value)
    assert "leave the module that starts it out of `preload`" in str(caught.value)


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    threading.Timer(0.05, lambda: None).start()
    threads.require_one()
    assert threads.further() == {}


def test_the_dry_run_leaves_nothing_behind() -> None:
    gc.collect()
    environment, descriptors = dict(os.environ), len(os.listdir("/proc/self/fd"))
    lines: list[str] = []
    handler = logs.install(lambda _, level, message: lines.append(message))
    terminated = signal.getsignal(signal.SIGTERM)
    dry_run.play_all()
    assert logs.install(handler._sink) is handler
    assert dict(os.environ) == environment
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert signal.getsignal(signal.SIGTERM) == terminated
    assert threads.further() == {} and lines == []


def _printed(script: str) -> list[str]:
    """The lines that a script prints which an interpreter of its own runs."""
    package = os.path.dirname(os.path.dirname(packing.__file__))
    script = f"import sys; sys.path[:0] = [{package!r}]\n{script}"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return output.stdout.splitlines()


_MOVES = sys.version_info < (3, 13)


def test_code_that_a_child_wrote_to_is_moved_and_does_what_it_did() -> None:
    script = (
        "from openrtc_host import restless\n"
        "def total(n):\n"
        "    found = 0\n"
        "    for i in range(n): found += i\n"
        "    return found\n"
        "def outer(n):\n"
        "    def inner(): return total(n)\n"
        "    return inner\n"
        "def idle(): return total(9)\n"
        "inner, codes = outer(4), (total.__code__, outer.__code__, idle.__code__)\n"
        "moved = restless.gather(lambda: [(outer(3)(), inner()) for _ in range(20)])\n"
        "now = (total.__code__, outer.__code__, idle.__code__)\n"
        "print(moved > 0, [new is not old for new, old in zip(now, codes)], now == codes)\n"
        "print(inner.__code__ in outer.__code__.co_consts, inner(), outer(5)(), idle())\n"
        "print(any(inner.__code__ is constant for constant in outer.__code__.co_consts))\n"
    )
    moved, works, shared = _printed(script)
    assert moved == f"{_MOVES} [{_MOVES}, {_MOVES}, False] True"
    assert works == "True 6 10 36" and shared == "True"


@pytest.mark.parametrize("fault", ["1 / 0", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_child_that_fails_moves_nothing_and_leaves_nothing(fault: str) -> None:
    script = (
        "import os\n"
        "from openrtc_host import restless\n"
        "def work(): return [n for n in range(9)]\n"
        "code, files = work.__code__, len(os.listdir('/proc/self/fd'))\n"
        f"print(restless.gather(lambda: ([work() for _ in range(20)], {fault})))\n"
        "print(work.__code__ is code, len(os.listdir('/proc/self/fd')) - files)\n"
        "try: os.waitpid(-1, os.WNOHANG); print('a child is left')\n"
        "except ChildProcessError: print('none')\n"
    )
    assert _printed(script) == ["0", "True 0", "none"]


def test_the_heap_is_filled_with_little() -> None:
    script = "from openrtc_host import _native\nprint(_native.fill_heap(), _native.fill_heap())"
    first, second = map(int, _printed(script)[0].split())
    assert 0 < second < 2 << 20 and first < 64 << 20


def test_what_a_zygote_holds_is_counted_no_more_where_cpython_can() -> None:
    script = (
        "import gc\n"
        "from openrtc_host import _native\n"
        "class Held: pass\n"
        "def used(): return ('a constant of its own', 1.25)\n"
        "def turns(): yield Held()\n"
        "held, turning = Held(), turns()\n"
        "held.inside = ['a text ' * len(sys.argv)]\n"
        "next(turning)\n"
        "plain = sys.getrefcount(object())\n"
        "count = _native.immortalize(gc.get_objects())\n"
        "found = [held, Held, used, used.__code__, used.__code__.co_consts[-1][0], held.inside, held.inside[0]]\n"
        "print(count, min(map(sys.getrefcount, found)), sys.getrefcount(turning), sys.getrefcount(Held()) - plain)\n"
        "held.inside.append(3); held.inside = used(); del held, used; gc.collect(); gc.freeze(); gc.collect()\n"
    )
    count, least, turning, more = map(int, _printed(script)[0].split())
    can = sys.version_info >= (3, 12)
    assert (count > 1000) is can and (count > 0) is can
    assert (least > 1 << 31) is can
    assert turning < 10 and more == 0, "what ends by itself, and what is made later, is counted"


def test_the_pools_are_filled_with_little() -> None:
    script = "from openrtc_host import packing\nprint(packing.fill_pools(), packing.fill_pools())"
    first, second = map(int, _printed(script)[0].split())
    assert 0 < second < 2 * 30 * 16_384 and first < 64 << 20
