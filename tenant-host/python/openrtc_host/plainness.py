"""What of a script may be written down, and how it is said that something may not.

Owns: the marks of a secret, and the list of what stays in the script, with its place. Never: repeats a value.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from .folding import Made, Unknown, Variable

SECRET_NAME = re.compile(
    r"api_?key|(^|_)(secret|password|token|credentials)$|^(authorization|proxy-authorization|x-api-key)$", re.IGNORECASE
)
SECRET_TEXT = re.compile(
    r"^(sk-|sk_|gsk_|xai-|AIza|Bearer |Token |key-)|^(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_+/=-]{40,}$"
)
UUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
NOTED_MAX = 500


class Left:
    """What stays in the script."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.notes: list[dict[str, str]] = []

    def note(self, what: str, at: str) -> None:
        """Says that something stays, and where it stands."""
        if len(self.notes) < NOTED_MAX:
            self.notes.append({"at": at, "what": what})

    def leave(self, where: str, worth: Any, at: str) -> None:
        """Says why a value stays; `at` is where it stands unless it knows better."""
        if isinstance(worth, Unknown):
            self.note(f"{where}: {worth.why}", worth.at)
        elif isinstance(worth, Variable):
            self.note(f"{where}: it is the variable {worth.name}, read at run time", at)
        elif isinstance(worth, Made):
            self.note(f"{where}: a call of {worth.callee.lstrip('.')} cannot be written down", worth.at)
        else:
            self.note(f"{where}: it cannot be written down", at)


def may_be_secret(name: str, value: Any) -> bool:
    """Whether an argument may hold a key: by its name, or by its look."""
    if SECRET_NAME.search(name):
        return True
    if isinstance(value, str):
        return bool(SECRET_TEXT.search(value)) and not UUID.match(value)
    if isinstance(value, dict):
        return any(may_be_secret(str(inner), worth) for inner, worth in value.items())
    if isinstance(value, list):
        return any(may_be_secret("", worth) for worth in value)
    return False


def unplain(value: Any) -> Any:
    """The first part of a value that no configuration can carry; None if there is none."""
    if isinstance(value, (dict, list)):
        parts = value.values() if isinstance(value, dict) else value
        return next((found for found in map(unplain, parts) if found is not None), None)
    if value is None:
        return Unknown("None is no value of a configuration", "?")
    if isinstance(value, float) and not math.isfinite(value):
        return Unknown("it is no finite number", "?")
    return None if isinstance(value, (str, bool, int, float, Path)) else value
