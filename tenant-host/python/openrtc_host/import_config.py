"""What a script asks of a pool or a server, turned into findings that a configuration can be written from.

Owns: which calls of a script are pools, servers, agents and routers, and what of them is plain enough to be written
down. Never: lets a literal key leave the script: of a key, only where it stands or which variable holds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from . import routers
from .folding import Made, Scope, Thing
from .plainness import Left, may_be_secret, unplain
from .sources import Application, Module, discovered
from .tenant_findings import KEY_ARGUMENT, PLUGIN_CALL, Tenants, caps

# Arguments of a pool that stand for something else than a plain setting.
APART = frozenset({"agent", "agents", "tenant_config", "max_sessions_per_tenant", "max_sessions_per_agent", "router"})


def find(application: Application, target: dict[str, Any]) -> dict[str, Any]:
    """The findings of an application."""
    return _Finder(application, target).find()


class _Finder:
    def __init__(self, application: Application, target: dict[str, Any]) -> None:
        self.application = application
        self.target = target
        self.kind: str | None = None
        self.at: str | None = None
        self.agents: dict[str, str] = {}
        self.complete = True
        self.settings: list[dict[str, Any]] = []
        self.left = Left()
        self.tenants = Tenants(self.left)
        self.agent_caps: list[dict[str, Any]] = []
        self.router: dict[str, Any] | None = None
        self.literals: list[str] = []

    def find(self) -> dict[str, Any]:
        if "agents_dir" in self.target:
            for module in self.application.entry:
                self._discovered_agent(module)
        for module, call, callee in self._calls():
            self._call(module, call, callee)
        return {
            "kind": self.kind or ("agents_dir" if "agents_dir" in self.target else None),
            "at": self.at,
            "agents": [{"name": name, "at": at} for name, at in self.agents.items()],
            "agents_complete": self.complete and bool(self.agents),
            "settings": self.settings,
            "tenants": [{"id": name, **found} for name, found in self.tenants.found.items()],
            "agent_caps": self.agent_caps,
            "router": self.router,
            "unturned": self.left.notes,
            "literal_keys": self.literals,
        }

    def _calls(self) -> Iterator[tuple[Module, ast.Call, str]]:
        for module in self.application.modules:
            # In the order of the source: a pool before what is added to it.
            calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
            for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
                callee = module.scope.dotted(call.func)
                if callee is not None:
                    yield module, call, callee

    def _call(self, module: Module, call: ast.Call, callee: str) -> None:
        last = callee.rpartition(".")[2]
        if last == "AgentPool" and callee.startswith("openrtc."):
            self._pool(module, call, callee)
        elif last in ("WorkerOptions", "AgentServer") and callee.startswith("livekit.agents."):
            self._server(module, call, callee, last)
        elif last == "rtc_session" and self.kind != "pool":
            made = module.scope.call(call, callee)
            name = made.keywords.get("agent_name") or "default"
            if isinstance(name, str):
                self.agents = {name: made.at}
            else:
                self.complete = False
                self.left.leave("agent_name", name, made.at)
        elif last == "add" and self.kind == "pool" and call.args:
            self._added(module, call, callee)
        elif last == "discover" and self.kind == "pool":
            self._discover(module, call)
        elif PLUGIN_CALL.match(callee):
            worth = module.scope.call(call, callee).keywords.get(KEY_ARGUMENT)
            if isinstance(worth, str):
                self.literals.append(module.at(call.lineno))

    def _first(self, kind: str, at: str) -> bool:
        if self.kind is not None:
            self.left.note(f"another pool or server: only that of {self.at} is written down", at)
            return False
        self.kind, self.at = kind, at
        return True

    def _pool(self, module: Module, call: ast.Call, callee: str) -> None:
        made = module.scope.call(call, callee)
        if not self._first("pool", made.at):
            return
        keywords = made.keywords
        for unknown in made.unknown:
            self.complete = False
            self.left.leave("AgentPool(**…)", unknown, made.at)
        if "agent" in keywords:
            self.agents["default"] = made.at
        if isinstance(keywords.get("agents"), dict):
            self.agents.update({str(name): made.at for name in keywords["agents"]})
        elif "agents" in keywords:
            self.complete = False
            self.left.leave("agents", keywords["agents"], made.at)
        self.tenants.take(keywords, made.at)
        for name, cap in caps(self.left, "max_sessions_per_agent", keywords, made.at):
            self.agent_caps.append({"agent": name, "max_sessions": cap, "at": made.at})
        self._settings(keywords, made.at)
        self._router(module, call)

    def _server(self, module: Module, call: ast.Call, callee: str, kind: str) -> None:
        made = module.scope.call(call, callee)
        if not self._first("options" if kind == "WorkerOptions" else "server", made.at):
            return
        for unknown in made.unknown:
            self.left.leave(f"{kind}(**…)", unknown, made.at)
        name = made.keywords.get("agent_name") or "default"
        if kind == "WorkerOptions" and isinstance(name, str):
            self.agents[name] = made.at
        elif kind == "WorkerOptions":
            self.complete = False
        self._settings(made.keywords, made.at)

    def _settings(self, keywords: dict[str, Any], at: str) -> None:
        for name, worth in keywords.items():
            if name in APART or name in ("api_key", "api_secret"):
                continue
            plain = isinstance(worth, (bool, int, float, str)) and unplain(worth) is None
            plain = plain and not may_be_secret(name, worth)
            self.settings.append({"name": name, "value": worth if plain else None, "plain": plain, "at": at})

    def _added(self, module: Module, call: ast.Call, callee: str) -> None:
        made = module.scope.call(call, callee)
        if len(made.positional) < 2 or not isinstance(made.positional[1], Thing):
            # A set's `add`, and so on.
            return
        name = made.positional[0]
        if isinstance(name, str):
            self.agents.setdefault(name, made.at)
        else:
            self.complete = False
            self.left.leave("the name of an agent", name, made.at)

    def _discover(self, module: Module, call: ast.Call) -> None:
        folders = discovered(module)
        if not folders:
            self.complete = False
            self.left.note("discover(…): its folder is computed or missing", module.at(call.lineno))
        inside = [other for other in self.application.modules if other.path.parent in folders]
        for other in sorted(inside, key=lambda other: other.path.name):
            if not other.path.name.startswith("_"):
                self._discovered_agent(other)

    def _discovered_agent(self, module: Module) -> None:
        """The agent of a file: its `@agent_config(name=…)`, else the file's own name."""
        name: Any = module.path.stem
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for decorator in node.decorator_list:
                    made = module.scope.fold(decorator)
                    if isinstance(made, Made) and made.callee.endswith("agent_config"):
                        name = made.keywords.get("name") or name
        if isinstance(name, str):
            self.agents.setdefault(name, module.shown)
        else:
            self.complete = False

    def _router(self, module: Module, call: ast.Call) -> None:
        given = next((keyword.value for keyword in call.keywords if keyword.arg == "router"), None)
        if given is None:
            return
        at = module.at(given.lineno)
        owner, function = _function(module, given, self.application)
        if function is None:
            self.left.note("router: it is no function of this application", at)
            return
        try:
            table = routers.read(function, owner)
        except routers.NotPlain as fault:
            what = f"router: {fault.why}; the script's router stays, and runs in the host after admission"
            self.left.note(what, owner.at(fault.line))
            return
        self.router = {
            "at": owner.at(function.lineno),
            "rules": [vars(rule) for rule in table.rules],
            "otherwise": table.otherwise,
            "exact": table.exact,
        }


def _function(
    module: Module, given: ast.expr, application: Application
) -> tuple[Scope, ast.Lambda | ast.FunctionDef | None]:
    if isinstance(given, ast.Lambda):
        return module.scope, given
    worth = module.scope.fold(given)
    name = worth.name.rpartition(".")[2] if isinstance(worth, Thing) else ""
    for other in [module, *application.modules]:
        function = other.scope.functions.get(name)
        if isinstance(function, ast.FunctionDef):
            return other.scope, function
    return module.scope, None
