"""Writes the table of `docs/python.md`: each argument of a pool, a server or options, and who grants it.

Owns: its form. Never: its content; that is `openrtc_host.settings`, which hosts act by.
"""

from __future__ import annotations

from openrtc_host.settings import OPTIONS, POOL, SERVER, Setting


def row(argument: str, setting: Setting) -> str:
    return f"| `{argument}` | {setting.who} | {setting.key} |"


def main() -> None:
    head = "| argument | is | where, or the key that takes its place |\n|---|---|---|"
    print("`AgentPool`:\n")
    print("\n".join([head, *(row(name, setting) for name, setting in POOL.items())]))
    print("\n`AgentServer` and `WorkerOptions`:\n")
    print("\n".join([head, *(row(name, setting) for name, setting in {**SERVER, **OPTIONS}.items())]))


if __name__ == "__main__":
    main()
