"""Every small mistake that could be made in a file: comparisons, limits, signs, lost `not`s.

A mutant is the source with one place changed. What it does not change: docstrings, annotations, imports,
and messages for people.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """A file with one mistake.

    Attributes:
        line: Where.
        what: `< -> <=`.
        tree: The whole file.
    """

    line: int
    what: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a file, in the order of its lines."""
    tree = ast.parse(source)
    count = sum(1 for _ in _places(tree))
    for number in range(count):
        changed = copy.deepcopy(tree)
        node, field, place = _nth(changed, number)
        old = _at(node, field, place)
        for what, new in list(_changes(old)):
            _put(node, field, place, new)
            whole = ast.fix_missing_locations(copy.deepcopy(changed))
            yield Mutant(getattr(old, "lineno", 0), what, whole)
            _put(node, field, place, old)


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where something stands that may be changed: (its parent, field, place in a list)."""
    for field, value in ast.iter_fields(tree):
        if field in {"annotation", "returns", "decorator_list"}:
            continue
        children = value if isinstance(value, list) else [value]
        for place, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_words(child):
                continue
            if any(True for _ in _changes(child)):
                yield tree, field, place if isinstance(value, list) else None
            yield from _places(child)


def _is_words(node: ast.AST) -> bool:
    """Docstrings, imports, messages and type aliases."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901, PLR0912 - a table
    """What a piece of the tree may be turned into."""
    match node:
        case ast.Compare(ops=[operator], left=left, comparators=others):
            for other in _COMPARISONS.get(type(operator), ()):
                yield _named(operator, other()), ast.Compare(left, [other()], others)
        case ast.BinOp(op=operator, left=left, right=right) if type(operator) in _OPERATORS:
            other = _OPERATORS[type(operator)]()
            yield _named(operator, other), ast.BinOp(left, other, right)
        case ast.BoolOp(op=operator, values=values):
            other_bool = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield _named(operator, other_bool), ast.BoolOp(other_bool, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not x -> x", operand
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield "-x -> x", operand
        case ast.AugAssign(target=target, op=operator, value=value) if type(operator) in _OPERATORS:
            other = _OPERATORS[type(operator)]()
            yield _named(operator, other), ast.AugAssign(target, other, value)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "a if t else b -> b if t else a", ast.IfExp(test, orelse, body)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLS:
            other_call = ast.Name(_CALLS[name], ast.Load())
            yield f"{name} -> {_CALLS[name]}", ast.Call(other_call, args, keywords)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield "return x -> return None", ast.Return(ast.Constant(None))
        case ast.Constant(value=bool() as value):
            yield f"{value} -> {not value}", ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield f"{value} -> {value + 1}", ast.Constant(value + 1)
            yield f"{value} -> {value - 1}", ast.Constant(value - 1)
        case ast.Continue():
            yield "continue -> break", ast.Break()
        case ast.Break():
            yield "break -> continue", ast.Continue()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _named(old: ast.AST, new: ast.AST) -> str:
    return f"{type(old).__name__} -> {type(new).__name__}"


def _nth(tree: ast.AST, number: int) -> tuple[ast.AST, str, int | None]:
    for count, found in enumerate(_places(tree)):
        if count == number:
            return found
    raise IndexError(number)


def _at(node: ast.AST, field: str, place: int | None) -> ast.AST:
    value = getattr(node, field)
    return value if place is None else value[place]


def _put(node: ast.AST, field: str, place: int | None, new: ast.AST) -> None:
    if place is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[place] = new
