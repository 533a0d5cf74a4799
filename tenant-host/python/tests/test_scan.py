"""What reading tells of an application: imports, plugins, variables, `.env`; and that nothing of it is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openrtc_host import scan

MAIN = """
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import load_dotenv
from livekit.agents import Agent
from livekit.plugins import openai, silero
import livekit.plugins.madeup as made_up
from openrtc import AgentPool

import tools.crm
from tools import orders as order_tools

if TYPE_CHECKING:
    from livekit.plugins import typingonly

load_dotenv()
DATABASE = os.environ["DATABASE_URL"]
raise SystemExit("this line must never run")

pool = AgentPool()
pool.discover(Path(__file__).parent / "agents")
"""


def write(folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """Writes an application; gives the target of its script."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {"script": str(folder / "main.py")}


@pytest.fixture
def application(tmp_path: Path) -> dict[str, Any]:
    """A script with a package, discovered agents and a `.env`."""
    return write(
        tmp_path,
        {
            "main.py": MAIN,
            "tools/__init__.py": "from .base import retry\n",
            "tools/base.py": "import os\nretry = os.getenv('RETRIES', '3')\nopen('/dev/null/never')\n",
            "tools/crm.py": "from livekit import rtc\nfrom . import base\nKEY = os.environ.get('CRM_KEY')\nimport os\n",
            "tools/orders.py": "import requests\n",
            "agents/greeter.py": "def lazy():\n    from livekit.plugins.silero import VAD\n    import livekit.api\n",
            "agents/_private.py": "import livekit.blingfire\n",
            ".env": "# keys\nOPENAI_API_KEY=sk-canary-1\nexport DEEPGRAM_API_KEY = 'canary-2'\n",
        },
    )


def test_frameworks_and_plugins_are_preloaded_and_nothing_of_the_application(application: dict[str, Any]) -> None:
    found = scan.preload(application)
    assert found == [
        "livekit.agents",
        "livekit.api",
        "livekit.plugins.openai",
        "livekit.plugins.silero",
        "livekit.plugins.turn_detector.multilingual",
        "livekit.rtc",
        "openrtc",
    ]


def test_openrtc_alone_implies_what_its_worker_loads(tmp_path: Path) -> None:
    found = scan.preload(write(tmp_path, {"main.py": "import openrtc\n"}))
    assert found == [
        "livekit.agents",
        "livekit.plugins.silero",
        "livekit.plugins.turn_detector.multilingual",
        "openrtc",
    ]


def test_the_report_names_plugins_variables_modules_and_the_dotenv_without_its_values(
    application: dict[str, Any], tmp_path: Path
) -> None:
    report = scan.scan(application)
    plugins = {plugin["name"]: plugin for plugin in report["plugins"]}
    assert list(plugins) == ["openai", "silero", "madeup"]
    assert plugins["openai"]["installed"] and plugins["openai"]["version"] and plugins["openai"]["at"] == "main.py:8"
    assert not plugins["madeup"]["installed"] and plugins["madeup"]["distribution"] == "livekit-plugins-madeup"
    assert {read["variable"]: read["at"] for read in report["environment"]} == {
        "DATABASE_URL": "main.py:19",
        "RETRIES": "tools/base.py:2",
        "CRM_KEY": "tools/crm.py:3",
    }
    assert sorted(report["local_modules"]) == [
        "agents/greeter.py",
        "main.py",
        "tools/__init__.py",
        "tools/base.py",
        "tools/crm.py",
        "tools/orders.py",
    ]
    assert report["dotenv"] == {"path": str(tmp_path / ".env"), "names": ["DEEPGRAM_API_KEY", "OPENAI_API_KEY"]}
    assert "canary" not in json.dumps(report)
    assert report["frameworks"]["openrtc"] and report["python"]["executable"] == sys.executable


def test_reading_imports_no_framework(application: dict[str, Any]) -> None:
    program = (
        "import json, sys\nfrom openrtc_host import scan\n"
        "report = scan.scan(json.loads(sys.argv[1]))\n"
        "heavy = [name for name in sys.modules if name in ('openrtc', 'livekit.agents', 'livekit.rtc', 'numpy')]\n"
        "print(json.dumps(heavy + [name for name in sys.modules if name.startswith('tools')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(application)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_a_module_with_an_attribute_is_read_from_its_folder(application: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "agents.py").write_text("import livekit.agents\nfrom tools import crm\n")
    target = {"attribute": {"folder": str(tmp_path), "module": "my.agents", "attribute": "pool"}}
    assert scan.preload(target) == ["livekit.agents", "livekit.rtc"]
    missing = scan.scan({"attribute": {"folder": str(tmp_path), "module": "gone", "attribute": "pool"}})
    assert missing["problems"] == [f"no module gone below {tmp_path}"]


def test_a_folder_of_agents_is_what_discovery_takes(application: dict[str, Any], tmp_path: Path) -> None:
    report = scan.scan({"agents_dir": str(tmp_path / "agents")})
    assert report["local_modules"] == ["greeter.py"]
    assert report["findings"]["agents"] == [{"name": "greeter", "at": "greeter.py"}]


def test_what_cannot_be_read_is_named_without_its_text(tmp_path: Path) -> None:
    target = write(tmp_path, {"main.py": "import broken\nimport big\n", "broken.py": "KEY = 'sk-canary'\nKEY ===\n"})
    (tmp_path / "big.py").write_text("#" * (3 * 1024 * 1024))
    report = scan.scan(target)
    assert [problem.split(": ")[0] for problem in report["problems"]] == ["broken.py", "big.py"]
    assert "line 2" in report["problems"][0] and "canary" not in json.dumps(report)


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    target = write(
        tmp_path,
        {
            "main.py": "from a import X\nfrom openrtc import AgentPool\nAgentPool(max_concurrent_sessions=X)\n",
            "a.py": "from b import X\n",
            "b.py": "from a import X\n",
        },
    )
    report = scan.scan(target)
    assert report["findings"]["settings"] == [
        {"name": "max_concurrent_sessions", "value": None, "plain": False, "at": "main.py:3"}
    ]


def test_a_literal_bomb_is_not_unfolded(tmp_path: Path) -> None:
    names = "".join(f"d{n} = {{'a': d{n - 1}, 'b': d{n - 1}}}\n" for n in range(1, 60))
    target = write(
        tmp_path, {"main.py": f"from openrtc import AgentPool\nd0 = 1\n{names}AgentPool(tenant_config=d59)\n"}
    )
    assert scan.scan(target)["findings"]["kind"] == "pool"


def test_the_plan_is_checked(capsys: pytest.CaptureFixture[str], application: dict[str, Any], tmp_path: Path) -> None:
    assert scan.main([]) == 2 and scan.main(["{}"]) == 2 and scan.main(['{"target": {"x": 1}}']) == 2
    capsys.readouterr()
    assert scan.main([json.dumps({"target": application})]) == 0
    assert json.loads(capsys.readouterr().out)["preload"]
    output = tmp_path / "report.json"
    assert scan.main([json.dumps({"target": application, "output": str(output)})]) == 0
    assert json.loads(output.read_text())["preload"] and capsys.readouterr().out == ""
