"""Epochal trains the networks of your experiment log, proves which change helped, and writes the log.

Every verb of the command line is a function here: `epochal.run("cvae-digits", "model-4", seeds=3)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochal.api import (
        compare,
        evaluate,
        export,
        fork,
        generate,
        import_weights,
        load,
        log,
        members,
        note,
        predict,
        recipes,
        resume,
        rm,
        run,
        runs,
        show,
    )
    from epochal.errors import EpochalError, UsageError
    from epochal.journal import Lab, Run

__all__ = [
    "EpochalError",
    "Lab",
    "Run",
    "UsageError",
    "compare",
    "evaluate",
    "export",
    "fork",
    "generate",
    "import_weights",
    "load",
    "log",
    "members",
    "note",
    "predict",
    "recipes",
    "resume",
    "rm",
    "run",
    "runs",
    "show",
]

_HOMES = {
    "EpochalError": "epochal.errors",
    "UsageError": "epochal.errors",
    "Lab": "epochal.journal",
    "Run": "epochal.journal",
}


def __getattr__(name: str) -> Any:
    # Loaded at first use: `epochal --help` must not pay for what it does not need.
    if name == "__version__":
        from importlib.metadata import version

        return version("epochal")
    if name not in __all__:
        raise AttributeError(f"module 'epochal' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "epochal.api")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
