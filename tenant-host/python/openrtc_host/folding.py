"""What an expression of an application's source is worth, as far as reading tells.

Owns: names assigned once, constants, dictionaries, paths, variables of the environment and calls by their dotted names.
Never: executes a line, or guesses: what is not plain is `Unknown`, with its place and without its text (a key may
stand there).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEPTH_MAX = 40
FOLDS_MAX = 1_000_000
ENVIRONMENT_READERS = ("os.getenv", "os.environ.get", "environ.get", "getenv")
ENVIRONMENTS = ("os.environ", "environ")
PATHS = ("pathlib.Path", "pathlib.PurePath", "Path", "str", "os.fspath", "os.path.abspath", "os.path.realpath")
CHANGING = frozenset({"update", "setdefault", "pop", "popitem", "clear", "append", "extend", "insert", "remove"})


@dataclass(frozen=True)
class Unknown:
    """Something that reading does not tell, and where it stands."""

    why: str
    at: str


@dataclass(frozen=True)
class Variable:
    """A variable of the environment."""

    name: str


@dataclass(frozen=True)
class Thing:
    """A class, function or module, by its dotted name."""

    name: str
    at: str


@dataclass
class Made:
    """What a call gives: `openai.LLM(model="gpt-4o")`."""

    callee: str
    at: str
    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)


Lookup = Callable[[str, str], Any]
"""Gives the worth of a name of another of the application's modules, or None."""


class Scope:
    """The names of one module."""

    def __init__(self, tree: ast.Module, path: Path, shown: str, lookup: Lookup | None = None) -> None:
        """Reads which names the module gives a worth, and how often."""
        self.path = path
        self.shown = shown
        self.lookup = lookup
        self.aliases: dict[str, str] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self._assigned: dict[str, list[ast.expr | None]] = {}
        self._changed: dict[str, int] = {}
        self._stores: Counter[str] = Counter()
        self._depth = 0
        self._folds = 0
        for node in ast.walk(tree):
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self.aliases[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self._assigned.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.value is not None:
                self._assigned.setdefault(node.target.id, []).append(node.value)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.functions.setdefault(node.name, node)
        elif isinstance(node, ast.arg):
            self._assigned.setdefault(node.arg, []).append(None)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            if isinstance(node.func.value, ast.Name):
                self._changed.setdefault(node.func.value.id, node.lineno)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if isinstance(node.value, ast.Name):
                self._changed.setdefault(node.value.id, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            # Counted with the assignment it belongs to; one that belongs to none is a loop or the like.
            self._assigned.setdefault(node.id, [])
            self._stores[node.id] += 1

    def at(self, line: int) -> str:
        """A place in the module, for a person."""
        return f"{self.shown}:{line}"

    def _unknown(self, why: str, line: int) -> Unknown:
        return Unknown(why, self.at(line))

    def _of_name(self, name: str, line: int) -> Any:
        values = self._assigned.get(name)
        if values is not None:
            if len(values) != 1 or self._stores[name] > 1 or values[0] is None:
                return self._unknown(f"{name} has no single worth", line)
            if name in self._changed:
                return self._unknown(f"{name} is changed at line {self._changed[name]}", line)
            return self.fold(values[0])
        if name in self.functions:
            return Thing(name, self.at(self.functions[name].lineno))
        if name in self.aliases:
            module, _, attribute = self.aliases[name].rpartition(".")
            found = self.lookup(module, attribute) if self.lookup and module else None
            return Thing(self.aliases[name], self.at(line)) if found is None else found
        return Thing(name, self.at(line))

    def dotted(self, node: ast.expr) -> str | None:
        """The full name of a name or an attribute of one."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def fold(self, node: ast.expr) -> Any:
        """The worth of an expression."""
        self._depth += 1
        self._folds += 1
        try:
            if self._depth > DEPTH_MAX or self._folds > FOLDS_MAX:
                return self._unknown("it is nested too deep", node.lineno)
            return self._fold(node)
        finally:
            self._depth -= 1

    def _fold(self, node: ast.expr) -> Any:
        line = node.lineno
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id="__file__"):
                return self.path
            case ast.Name(id=known):
                return self._of_name(known, line)
            case ast.Dict():
                return self._dictionary(node)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self.fold(item) for item in items]
            case ast.JoinedStr(values=parts):
                return self._joined(parts, line)
            case ast.BinOp():
                return self._binary(node)
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                worth = self.fold(first)
                return worth if isinstance(worth, Variable) else self._unknown("it is chosen at run time", line)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                worth = self.fold(operand)
                return -worth if isinstance(worth, (int, float)) else self._unknown("it is computed", line)
            case ast.Subscript(value=base, slice=key):
                return self._subscript(base, key, line)
            case ast.Call():
                return self._call(node)
            case ast.Attribute(value=base, attr=attribute):
                worth = self.fold(base)
                if isinstance(worth, Path):
                    return worth.parent if attribute == "parent" else self._unknown("it is computed", line)
                name = self.dotted(node)
                return self._unknown("it is an attribute", line) if name is None else Thing(name, self.at(line))
            case _:
                return self._unknown(f"it is {_described(node)}", line)

    def _dictionary(self, node: ast.Dict) -> Any:
        worth: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                inner = self.fold(value)
                if not isinstance(inner, dict):
                    return self._unknown("it unpacks something that is no plain dictionary", value.lineno)
                worth.update(inner)
                continue
            name = self.fold(key)
            if not isinstance(name, (str, int, bool)):
                return self._unknown("one of its keys is computed", key.lineno)
            worth[name] = self.fold(value)
        return worth

    def _joined(self, parts: list[ast.expr], line: int) -> Any:
        text = ""
        for part in parts:
            worth = self.fold(part.value if isinstance(part, ast.FormattedValue) else part)
            if not isinstance(worth, (str, int, Path)):
                return self._unknown("it is put together at run time", line)
            text += str(worth)
        return text

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self.fold(node.left), self.fold(node.right)
        both_numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        match node.op:
            case ast.Div() if isinstance(left, Path) and isinstance(right, (str, Path)):
                return left / right
            case ast.Add() if (isinstance(left, str) and isinstance(right, str)) or both_numbers:
                return left + right
            case ast.Sub() if both_numbers:
                return left - right
            case ast.Mult() if both_numbers:
                return left * right
            case ast.BitOr() if isinstance(left, dict) and isinstance(right, dict):
                return {**left, **right}
        return self._unknown("it is computed", node.lineno)

    def _subscript(self, base: ast.expr, key: ast.expr, line: int) -> Any:
        name = self.fold(key)
        if self.dotted(base) in ENVIRONMENTS:
            return (
                Variable(name) if isinstance(name, str) else self._unknown("it is a variable of a computed name", line)
            )
        worth = self.fold(base)
        if isinstance(worth, dict) and isinstance(name, (str, int)) and name in worth:
            return worth[name]
        return self._unknown("it is looked up at run time", line)

    def _call(self, node: ast.Call) -> Any:
        callee = self.dotted(node.func)
        first = self.fold(node.args[0]) if node.args else None
        if callee in ENVIRONMENT_READERS and isinstance(first, str):
            return Variable(first)
        if callee in PATHS and len(node.args) == 1 and isinstance(first, (str, Path)):
            return Path(first) if callee not in ("str", "os.fspath") else first
        if callee == "os.path.dirname" and isinstance(first, (str, Path)):
            return Path(first).parent
        if callee == "os.path.join" and isinstance(first, (str, Path)):
            parts = [self.fold(part) for part in node.args[1:]]
            plain = all(isinstance(part, (str, Path)) for part in parts)
            return Path(first, *parts) if plain else self._unknown("it is computed", node.lineno)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("resolve", "absolute", "expanduser"):
            base = self.fold(node.func.value)
            if isinstance(base, Path):
                return base
        if callee == "dict" and not node.args and all(keyword.arg for keyword in node.keywords):
            return {keyword.arg: self.fold(keyword.value) for keyword in node.keywords}
        if callee is None:
            return self._unknown("it calls something computed", node.lineno)
        return self.call(node, callee)

    def call(self, node: ast.Call, callee: str) -> Made:
        """A call and its arguments; `**settings` of a plain dictionary is spread out."""
        made = Made(callee, self.at(node.lineno), [self.fold(argument) for argument in node.args])
        for keyword in node.keywords:
            worth = self.fold(keyword.value)
            if keyword.arg is not None:
                made.keywords[keyword.arg] = worth
            elif isinstance(worth, dict):
                made.keywords.update({str(name): value for name, value in worth.items()})
            else:
                made.unknown.append(self._unknown("arguments are computed", keyword.value.lineno))
        return made


def _described(node: ast.AST) -> str:
    names = {
        "Lambda": "a lambda",
        "DictComp": "a comprehension",
        "ListComp": "a comprehension",
        "IfExp": "chosen at run time",
        "Await": "awaited",
    }
    return names.get(type(node).__name__, "computed")
