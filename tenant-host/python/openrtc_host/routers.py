"""A pool's `router`, read as a table of rules.

Owns: which comparisons, returns and lookups are plain enough, and in which order they hold. Never: gives a rule that a
call would not have been routed by: what is not understood wholly is refused wholly.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from .folding import Scope

RULES_MAX = 1_000
# Keys by which the pool's own chain finds an agent in metadata: a router that returns one of them defers to it.
AGENT_KEYS = ("agent", "demo")

Condition = dict[str, Any]
"""Metadata keys and what each must be."""


class NotPlain(Exception):
    """The router is more than a table."""

    def __init__(self, why: str, line: int) -> None:
        """Why, and where."""
        super().__init__(why)
        self.why = why
        self.line = line


@dataclass
class Rule:
    """Calls of this metadata go to this agent."""

    when: Condition
    agent: str
    at: str


@dataclass
class Table:
    """What a router does."""

    rules: list[Rule] = field(default_factory=list)
    otherwise: str | None = None
    exact: bool = True
    """Whether `otherwise` holds before the metadata is asked, as a rule would."""


@dataclass(frozen=True)
class _Key:
    """The worth of a metadata key."""

    name: str


class _Metadata:
    """The router's argument."""


def read(function: ast.Lambda | ast.FunctionDef, scope: Scope) -> Table:
    """The rules of a router, in the order in which they hold."""
    arguments = function.args.posonlyargs + function.args.args
    if len(arguments) != 1:
        raise NotPlain("it takes more than the metadata", function.lineno)
    reader = _Reader(arguments[0].arg, scope)
    if isinstance(function, ast.Lambda):
        reader.give(function.body, {})
    else:
        reader.follow(function.body, {})
    return reader.table()


class _Reader:
    def __init__(self, argument: str, scope: Scope) -> None:
        self.scope = scope
        self.names: dict[str, Any] = {argument: _Metadata()}
        # An agent of None defers to the pool's own chain.
        self.ends: list[tuple[Condition, str | None, int]] = []
        self.without_metadata: list[tuple[str | None, int]] = []

    def table(self) -> Table:
        table = Table()
        ends = list(self.ends)
        last = next((place for place, (when, _, _) in enumerate(ends) if not when), None)
        if last is not None:
            table.otherwise = ends[last][1]
            # What comes after an unconditional end is for calls without metadata.
            self.without_metadata += [(agent, line) for _, agent, line in ends[last + 1 :]]
            del ends[last:]
        for agent, line in self.without_metadata:
            if agent is not None and agent != table.otherwise:
                raise NotPlain("calls without metadata go to an agent of their own", line)
            table.exact = table.exact and agent == table.otherwise
        while ends and ends[-1][1] is None and table.otherwise is None:
            ends.pop()
        for when, agent, line in ends:
            if agent is None:
                raise NotPlain("it makes an exception, and defers", line)
            table.rules.append(Rule(when, agent, self.scope.at(line)))
        return table

    def follow(self, statements: list[ast.stmt], when: Condition) -> bool:
        """Reads statements that run under a condition; whether they always return."""
        for statement in statements:
            match statement:
                case ast.Pass() | ast.Expr():
                    pass
                case ast.Return(value=value):
                    self.give(value, when)
                    return True
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.assign(name, value, when)
                case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                    self.assign(name, value, when)
                case ast.If():
                    if self.branch(statement, when):
                        return True
                case ast.Match():
                    if self.match(statement, when):
                        return True
                case _:
                    raise NotPlain("it does more than compare and return", statement.lineno)
        return False

    def assign(self, name: str, value: ast.expr, when: Condition) -> None:
        worth = self.worth(value)
        again = name in self.names and not (isinstance(worth, _Metadata) and isinstance(self.names[name], _Metadata))
        if when or again:
            raise NotPlain(f"{name} is assigned under a condition, or twice", value.lineno)
        self.names[name] = worth

    def branch(self, statement: ast.If, when: Condition) -> bool:
        if self.is_absence(statement.test):
            if len(statement.body) != 1 or not isinstance(statement.body[0], ast.Return) or when:
                raise NotPlain("it does more than return where there is no metadata", statement.lineno)
            agent = self.plain(statement.body[0].value, statement.lineno)
            self.without_metadata.append((agent, statement.lineno))
            return self.follow(statement.orelse, when)
        always = True
        for condition in self.condition(statement.test):
            both = _both(when, condition)
            if both is not None:
                always = self.follow(statement.body, both) and always
        if statement.orelse and not always:
            raise NotPlain("a branch beside an else does not return", statement.lineno)
        return bool(statement.orelse) and self.follow(statement.orelse, when)

    def match(self, statement: ast.Match, when: Condition) -> bool:
        key = self.worth(statement.subject)
        if not isinstance(key, _Key):
            raise NotPlain("it matches something else than a metadata key", statement.lineno)
        for case in statement.cases:
            if case.guard is not None:
                raise NotPlain("a case has a guard", case.pattern.lineno)
            values = self.pattern(case.pattern)
            if values is None:
                return self.follow(case.body, when)
            for value in values:
                both = _both(when, {key.name: value})
                if both is not None and not self.follow(case.body, both):
                    raise NotPlain("a case does not return", case.pattern.lineno)
        return False

    def pattern(self, pattern: ast.pattern) -> list[Any] | None:
        """The values that a pattern takes; None for all."""
        match pattern:
            case ast.MatchValue(value=value):
                return [self.constant(value)]
            case ast.MatchOr(patterns=patterns):
                return [value for inner in patterns for value in (self.pattern(inner) or [])]
            case ast.MatchAs(pattern=None):
                return None
        raise NotPlain("a case compares with more than a constant", pattern.lineno)

    def give(self, value: ast.expr | None, when: Condition) -> None:
        """Notes what is returned under a condition."""
        if len(self.ends) > RULES_MAX:
            raise NotPlain(f"it has more than {RULES_MAX} rules", value.lineno if value else 0)
        match value:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                if self.is_absence(test):
                    self.without_metadata.append((self.plain(body, body.lineno), body.lineno))
                else:
                    for condition in self.condition(test):
                        both = _both(when, condition)
                        if both is not None:
                            self.give(body, both)
                self.give(orelse, when)
            case ast.Call(func=ast.Attribute(value=base, attr="get"), args=[key, *default]):
                self.look_up(value, base, key, default[0] if default else None, when)
            case ast.Subscript(value=base, slice=key):
                self.look_up(value, base, key, None, when)
            case _:
                line = value.lineno if value else 0
                self.ends.append((when, self.plain(value, line), line))

    def look_up(self, node: ast.expr, base: ast.expr, key: ast.expr, default: ast.expr | None, when: Condition) -> None:
        line = node.lineno
        if self.is_metadata(base):
            asked = self.worth(node)
            if isinstance(asked, _Key) and asked.name in AGENT_KEYS:
                self.ends.append((when, None, line))
                return
            raise NotPlain("it returns what the metadata says", line)
        table, wanted = self.scope.fold(base), self.worth(key)
        if not isinstance(table, dict) or not isinstance(wanted, _Key):
            raise NotPlain("it looks the agent up in something computed", line)
        for value, agent in table.items():
            if not isinstance(agent, str) or not isinstance(value, (str, int)):
                raise NotPlain("its table holds more than names", line)
            both = _both(when, {wanted.name: value})
            if both is not None:
                self.ends.append((both, agent, line))
        if isinstance(node, ast.Subscript):
            raise NotPlain("it fails for calls that its table does not name: use .get", line)
        self.ends.append((when, self.plain(default, line), line))

    def plain(self, value: ast.expr | None, line: int) -> str | None:
        worth = None if value is None else self.scope.fold(value)
        if worth is None or isinstance(worth, str):
            return worth
        raise NotPlain("it returns something computed", line)

    def constant(self, node: ast.expr) -> str | int:
        worth = self.scope.fold(node)
        if isinstance(worth, (str, int)):
            return worth
        raise NotPlain("it compares with something computed", node.lineno)

    def is_metadata(self, node: ast.expr) -> bool:
        """The argument itself, or `metadata or {}`."""
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            rest = node.values[1:]
            return self.is_metadata(node.values[0]) and all(isinstance(it, ast.Dict) and not it.keys for it in rest)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and node.args:
            return self.is_metadata(node.args[0])
        return isinstance(node, ast.Name) and isinstance(self.names.get(node.id), _Metadata)

    def worth(self, node: ast.expr) -> Any:
        """A metadata key, the metadata, or None for what is neither."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.Call(func=ast.Attribute(value=base, attr="get"), args=[key, *default]) if self.is_metadata(base):
                name = self.scope.fold(key)
                fallback = self.scope.fold(default[0]) if default else None
                if isinstance(name, str) and (fallback in (None, "") or (name, fallback) == ("tenant", "default")):
                    return _Key(name)
            case ast.Subscript(value=base, slice=key) if self.is_metadata(base):
                name = self.scope.fold(key)
                return _Key(name) if isinstance(name, str) else None
            case ast.BoolOp(op=ast.Or(), values=[first, *rest]) if not self.is_metadata(node):
                if all(isinstance(it, ast.Constant) and it.value in (None, "") for it in rest):
                    return self.worth(first)
        return _Metadata() if self.is_metadata(node) else None

    def is_absence(self, test: ast.expr) -> bool:
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.is_metadata(operand)
            case ast.Compare(left=left, ops=[ast.Is() | ast.Eq()], comparators=[ast.Constant(value=None)]):
                return self.is_metadata(left)
        return False

    def is_presence(self, test: ast.expr) -> bool:
        match test:
            case ast.Compare(left=left, ops=[ast.IsNot() | ast.NotEq()], comparators=[ast.Constant(value=None)]):
                return self.is_metadata(left)
        return self.is_metadata(test)

    def condition(self, test: ast.expr) -> list[Condition]:
        """When a test holds: any of these."""
        if self.is_presence(test):
            return [{}]
        match test:
            case ast.BoolOp(op=ast.And(), values=values):
                found: list[Condition] = [{}]
                for value in values:
                    more = self.condition(value)
                    found = [both for one in found for other in more if (both := _both(one, other)) is not None]
                return found
            case ast.BoolOp(op=ast.Or(), values=values):
                return [condition for value in values for condition in self.condition(value)]
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                for key, value in ((left, right), (right, left)):
                    asked = self.worth(key)
                    if isinstance(asked, _Key):
                        return [{asked.name: self.constant(value)}]
            case ast.Compare(left=left, ops=[ast.In()], comparators=[right]):
                asked, values_in = self.worth(left), self.scope.fold(right)
                if isinstance(values_in, dict):
                    values_in = list(values_in)
                if isinstance(asked, _Key) and isinstance(values_in, list):
                    if all(isinstance(value, (str, int)) for value in values_in):
                        return [{asked.name: value} for value in values_in]
        raise NotPlain("it asks for more than a metadata key's worth", test.lineno)


def _both(one: Condition, other: Condition) -> Condition | None:
    """Two conditions at once; None where they cannot both hold."""
    if any(key in one and one[key] != value for key, value in other.items()):
        return None
    return {**one, **other}
