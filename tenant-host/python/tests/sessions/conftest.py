"""Applications written to a folder and loaded as a host loads them."""

from __future__ import annotations

import importlib.util
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))
if importlib.util.find_spec("openrtc_host") is None:  # not installed: what is tested here needs no extension
    sys.path.insert(0, str(HERE.parent.parent))
os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")

from scene import configured  # noqa: E402


@pytest.fixture
def app(tmp_path: Path):
    """Writes `main.py` (and other files), loads it, and gives what `application.load` gave."""

    def load(source: str, configure: dict[str, Any] | None = None, **files: str) -> Any:
        from openrtc_host import application

        script = tmp_path / "main.py"
        script.write_text(textwrap.dedent(source))
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return application.load({"script": str(script)}, configure or configured())

    main, argv, path = sys.modules["__main__"], sys.argv, list(sys.path)
    yield load
    sys.modules["__main__"], sys.argv = main, argv
    sys.path[:] = path
