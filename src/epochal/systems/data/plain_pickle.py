"""Reads a pickle of plain data as text, so to speak: instruction by instruction, executing nothing.

A pickle is a program for a stack machine, and Python's own reader runs it: whatever functions it names are
called. Here the program is only looked at (`pickletools.genops`). Instructions that build dictionaries, lists,
tuples, numbers and strings are followed; of the names that a pickle can ask for, exactly those are known that
NumPy writes for an array of unsigned bytes, and they call nothing either: the array is made from its shape and
its bytes. All else is refused. The instructions are those of protocol 2 as Python 2 wrote it.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

RECONSTRUCT, ARRAY, DTYPE = "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
_VALUES = {"BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class NotPlain(Exception):
    """The pickle is damaged, or asks for more than plain data; says which."""


@dataclass(frozen=True)
class _Name:
    """A name that the pickle asks for; it stands for itself and is never looked up."""

    text: str


@dataclass
class _Box:
    """An object in the making: what it is to be, and, for an array, its content once that was read."""

    of: str
    content: Any = None


_MARK = _Name("mark")


def read(pickled: bytes) -> Any:
    """The data in a pickle: dict, list, tuple, int, bool, None, str (bytes read as Latin-1), uint8 arrays.

    Raises:
        NotPlain: it is damaged, or asks for anything but plain data. Nothing in it was executed.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    try:
        for instruction, value, _ in pickletools.genops(pickled):
            _follow(instruction.name, value, stack, memory)
        (result,) = stack
        return _opened(result)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise NotPlain(f"it is cut off or damaged ({error})") from error


def _follow(name: str, value: Any, stack: list[Any], memory: dict[int, Any]) -> None:
    """Does one instruction."""
    match name:
        case "PROTO" | "STOP":
            pass
        case "BINPUT" | "LONG_BINPUT":
            memory[value] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memory[value])
        case "MARK":
            stack.append(_MARK)
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "APPEND" | "APPENDS":
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            _made(stack[-1], list).extend(items)
        case "SETITEM" | "SETITEMS":
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
            for key, item in zip(items[::2], items[1::2], strict=True):
                _made(stack[-1], dict)[_made(key, str)] = _opened(item)
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case "GLOBAL":
            if value.replace("numpy._core", "numpy.core") not in (RECONSTRUCT, ARRAY, DTYPE):
                raise NotPlain(f"it asks for {value.replace(' ', '.')!r}")
            stack.append(_Name(value.replace("numpy._core", "numpy.core")))
        case "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_begun(function, arguments))
        case "BUILD":
            state = stack.pop()
            _finish(stack[-1], state)
        case _ if name in _VALUES:
            stack.append(value)
        case _ if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        case _ if name in _TUPLES:
            taken = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(taken[::-1]))
        case _:
            raise NotPlain(f"it uses the instruction {name}")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Takes everything above the last mark, and the mark."""
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _made(value: Any, kind: type) -> Any:
    """The value, if it is of just this kind: what a damaged or evil pickle would do to others is left undone."""
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} stands in place of a {kind.__name__}")
    return value


def _begun(function: Any, arguments: Any) -> _Box:
    """What NumPy writes to begin an array or to name its type."""
    if function == _Name(RECONSTRUCT) and arguments == (_Name(ARRAY), (0,), "b"):
        return _Box(ARRAY)
    if function == _Name(DTYPE) and arguments in (("u1", 0, 1), ("u1", False, True)):
        return _Box(DTYPE)
    raise NotPlain("it calls something, or holds an array of other than unsigned bytes")


def _finish(box: Any, state: Any) -> None:
    """Gives an array its shape and bytes; the state of the one known type says nothing new."""
    import numpy as np

    if type(box) is not _Box:
        raise NotPlain("it sets the state of an object")
    if box.of == DTYPE:
        return
    _, shape, kind, column_wise, content = _made(state, tuple)
    size = math.prod(_made(length, int) for length in _made(shape, tuple))
    if type(kind) is not _Box or kind.of != DTYPE or column_wise is not False or size != len(content):
        raise NotPlain("it holds an array of other than unsigned bytes, or of another size than it says")
    array: Array = np.frombuffer(_made(content, str).encode("latin-1"), np.uint8).reshape(shape)
    box.content = array


def _opened(value: Any) -> Any:
    """The array in a finished box, anything else as it is; names that are never used are not data."""
    if isinstance(value, _Name) or (isinstance(value, _Box) and value.content is None):
        raise NotPlain("it holds a function or a class in place of data")
    return value.content if isinstance(value, _Box) else value
