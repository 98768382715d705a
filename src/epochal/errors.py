"""Errors that are explained to the user instead of shown as a traceback."""

from __future__ import annotations


class EpochalError(Exception):
    """Something failed and the user can act on it.

    Args:
        what: one sentence that names what was wrong and the offending value.
        hint: what is allowed, or what to do next. Printed on its own line.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what if hint is None else f"{what}\n  {hint}")
        self.what = what
        self.hint = hint


class UsageError(EpochalError):
    """The command or the call was wrong (a typo, a value out of range): nothing was started."""

    exit_code = 2
