"""Formulas for angles as text: evaluated on numbers, arrays, tensors, or whatever else knows ``+``, ``-`` and ``*``."""

from __future__ import annotations

import ast
import cmath
import operator
from collections.abc import Mapping
from functools import lru_cache, reduce
from typing import Any

from qperov_circuits.gate import Angle

#: Functions of one argument, by their names in formulas and in the array API standard.
FUNCTIONS = {
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "sign": "sign",
    "abs": "abs",
}


def evaluate(formula: str, angles: Mapping[str, Angle]) -> Angle:
    """Value of a formula such as ``2*(3.14 - a)*b`` with angles put in for its names.

    Sums, differences, products, whole positive powers and division by numbers work with every type of angle. Other
    divisions, other powers and the functions of `FUNCTIONS` work with numbers, tensors, and arrays that follow the
    array API standard.

    Raises
    ------
    ValueError
        The formula has something else in it, or an angle does not know what the formula asks for.
    """
    try:
        return _value(_tree(formula), angles)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the angle {formula} cannot be computed for features of this type: {error}") from error


def names(formula: str) -> set[str]:
    """Names that a formula needs angles for.

    Raises
    ------
    ValueError
        The formula is none that `evaluate` knows.
    """
    found: set[str] = set()
    _check(_tree(formula), formula, found)
    return found


@lru_cache(maxsize=4096)
def _tree(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"the angle {formula} is not a formula of real numbers") from error


def _check(node: ast.expr, formula: str, found: set[str]) -> None:
    match node:
        case ast.Constant(value=int() | float()):
            pass
        case ast.Name(id=name):
            found.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, formula, found)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow(), right=right):
            _check(left, formula, found)
            _check(right, formula, found)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            _check(argument, formula, found)
        case _:
            raise ValueError(f"the angle {formula} contains {ast.unparse(node)}, which is not supported")


def _value(node: ast.expr, angles: Mapping[str, Angle]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return angles[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, angles)
        case ast.UnaryOp(operand=operand):
            return _value(operand, angles)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, angles), _value(right, angles))
        case ast.BinOp(left=left, op=op, right=right):
            return _combined(op, _value(left, angles), _value(right, angles))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _applied(name, _value(argument, angles))
    raise ValueError(f"{ast.unparse(node)} is not supported in the angle of a gate")


def _combined(op: ast.operator, left: Any, right: Any) -> Any:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
    if isinstance(right, int | float) and not isinstance(left, int | float):
        return left * (1 / right)
    return left / right


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, int | float) and exponent == int(exponent) and exponent >= 1:
        return reduce(operator.mul, [base] * int(exponent))
    return base**exponent


def _applied(name: str, argument: Any) -> Any:
    if isinstance(argument, int | float):
        if name == "sign":
            return float(argument > 0) - float(argument < 0)
        if name == "abs":
            return abs(argument)
        value = complex(getattr(cmath, name)(argument))
        return value.real if value.imag == 0 else float("nan")
    if hasattr(argument, "__array_namespace__"):
        return getattr(argument.__array_namespace__(), FUNCTIONS[name])(argument)
    return getattr(argument, FUNCTIONS[name])()
