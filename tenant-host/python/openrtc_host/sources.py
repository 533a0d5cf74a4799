"""The modules of an application: its own files, read and never executed.

Owns: which files are the application's own, what they import, and the bounds of reading. Never: leaves the
application's folder, imports one of its modules, or reads what is installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .folding import Scope

FILES_MAX = 500
FILE_BYTES_MAX = 2 * 1024 * 1024


@dataclass(frozen=True)
class Import:
    """`import module`, or `from module import name`."""

    module: str
    name: str | None
    line: int


@dataclass
class Module:
    """One file of the application."""

    path: Path
    shown: str
    tree: ast.Module
    package: tuple[str, ...]
    scope: Scope

    def at(self, line: int) -> str:
        """A place in it, for a person."""
        return self.scope.at(line)


@dataclass
class Application:
    """All that was read of an application."""

    folder: Path
    entry: list[Module] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def imports(self) -> Iterator[tuple[Module, Import]]:
        """What its modules import, but for what only type checkers see."""
        for module in self.modules:
            for found in imports(module.tree, module.package):
                yield module, found


def read(target: dict[str, Any]) -> Application:
    """Reads an application: the target's own files and, from there, every module of its folder that they name."""
    return _Reader(target).read()


def imports(tree: ast.AST, package: tuple[str, ...] = ()) -> Iterator[Import]:
    """What a tree imports, relative names made whole; `if TYPE_CHECKING:` is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.Call) and _names(node.func, "import_module") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield Import(name.value, None, node.lineno)
            yield from imports(node, package)
        elif isinstance(node, ast.If) and _names(node.test, "TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), package)
        else:
            yield from imports(node, package)


def _names(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)


class _Reader:
    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target
        self.roots: list[Path] = []
        self.application = Application(Path("/"))
        self.seen: dict[Path, Module] = {}

    def read(self) -> Application:
        for path, package in self._start():
            module = self._take(path, package)
            if module is not None:
                self.application.entry.append(module)
        # It grows while it is gone through.
        for module in self.application.modules:
            self._follow(module)
        return self.application

    def _start(self) -> list[tuple[Path, tuple[str, ...]]]:
        if "script" in self.target:
            script = Path(self.target["script"])
            self.application.folder = script.parent
            self.roots = [script.parent]
            return [(script, ())]
        if "attribute" in self.target:
            attribute = self.target["attribute"]
            self.application.folder = Path(attribute["folder"])
            self.roots = [self.application.folder]
            found = self._locate(attribute["module"])
            if not found:
                self.application.problems.append(f"no module {attribute['module']} below {self.application.folder}")
            return found
        if "agents_dir" in self.target:
            folder = Path(self.target["agents_dir"])
            self.application.folder = folder
            self.roots = [folder, folder.parent]
            return [(path, ()) for path in _agent_files(folder)]
        raise ValueError(f"target {sorted(self.target)} is none of script, attribute, agents_dir")

    def _locate(self, dotted: str) -> list[tuple[Path, tuple[str, ...]]]:
        """The files that importing this name executes, packages first; none if it is not the application's own."""
        parts = dotted.split(".")
        if not all(part.isidentifier() for part in parts):
            return []
        for root in self.roots:
            found: list[tuple[Path, tuple[str, ...]]] = []
            place = root
            for depth, part in enumerate(parts, 1):
                place = place / part
                file = place.with_name(f"{part}.py")
                if (place / "__init__.py").is_file():
                    found.append((place / "__init__.py", tuple(parts[:depth])))
                elif file.is_file():
                    found.append((file, tuple(parts[: depth - 1])))
                    break
                elif not place.is_dir():
                    break
            if found:
                return found
        return []

    def _take(self, path: Path, package: tuple[str, ...]) -> Module | None:
        real = path.resolve()
        if real in self.seen:
            return self.seen[real]
        shown = self._shown(path)
        if len(self.seen) >= FILES_MAX:
            if len(self.seen) == FILES_MAX:
                self.application.problems.append(f"only the first {FILES_MAX} files were read")
            return None
        try:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError(f"is larger than {FILE_BYTES_MAX} bytes")
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            # A syntax error's text is a line of the source, in which a key may stand.
            why = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
            self.application.problems.append(f"{shown}: cannot be read: {why}")
            return None
        scope = Scope(tree, path.absolute(), shown, lambda name, attribute: self._look_up(package, name, attribute))
        module = Module(path, shown, tree, package, scope)
        self.seen[real] = module
        self.application.modules.append(module)
        return module

    def _shown(self, path: Path) -> str:
        try:
            return str(path.relative_to(self.application.folder))
        except ValueError:
            return str(path)

    def _follow(self, module: Module) -> None:
        for found in imports(module.tree, module.package):
            wanted = [found.module] if found.module else []
            if found.name is not None:
                wanted.append(f"{found.module}.{found.name}" if found.module else found.name)
            for name in wanted:
                for path, package in self._locate(name):
                    self._take(path, package)
        for folder in discovered(module):
            for path in _agent_files(folder):
                self._take(path, ())

    def _look_up(self, package: tuple[str, ...], dotted: str, attribute: str) -> Any:
        name = dotted.lstrip(".")
        level = len(dotted) - len(name)
        if level:
            above = package[: len(package) - level + 1]
            name = ".".join([*above, *([name] if name else [])])
        located = self._locate(name)
        if not located:
            return None
        module = self._take(*located[-1])
        if module is None:
            return None
        return module.scope.fold(ast.Name(attribute, ast.Load(), lineno=1, col_offset=0))


def discovered(module: Module) -> list[Path]:
    """The folders that a module hands to OpenRTC's `pool.discover(…)`."""
    folders = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "discover":
            arguments = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "agents_dir")]
            worth = module.scope.fold(arguments[0]) if arguments else None
            if isinstance(worth, (str, Path)):
                folders.append(module.path.parent / worth)
    return [folder for folder in folders if folder.is_dir()]


def _agent_files(folder: Path) -> list[Path]:
    """The files that OpenRTC's discovery takes."""
    try:
        return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    except OSError:
        return []
