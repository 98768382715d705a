"""The command line: `epochal VERB …`, one thin module a verb, imported only when its verb is used."""

from __future__ import annotations

import sys

from epochal.errors import EpochalError, UsageError

VERBS = {
    "list": "recipes, their versions, and the newest runs",
    "run": "train a version of a recipe",
    "fork": "train a run again with one thing changed",
    "resume": "go on with a stopped run, or train a finished one for longer",
    "show": "everything about a run",
    "note": "add a remark to a run",
    "log": "write the experiment log",
    "compare": "two runs or versions side by side",
    "evaluate": "measure a run's quality",
    "generate": "draw what a run has learnt to draw",
    "predict": "let a run's networks answer for data of your own",
    "export": "write a run's network as ONNX, checked against torch",
    "import": "take over weights that another program trained",
    "rm": "delete runs, or only the checkpoints that do not matter",
    "data": "list, fetch and verify data sources",
    "bench": "measure speed",
}

USAGE = """usage: epochal VERB …

{verbs}

`epochal VERB --help` shows a verb's options with examples. Every verb takes --json, --lab FOLDER and --debug.
A RUN is an id, the beginning of one, last, recipe:version@seed, or a folder; a fleet's member is RUN#12 or RUN@seed.

first steps:
  epochal list                                   recipes, versions, data they need, rough time
  epochal run cvae-digits                        the newest version
  epochal run cvae-digits model-4 --epochs 4     another version, shorter
  epochal fork last --loss.grey-weight 0.1 --note "less grey"
  epochal log cvae-digits                        the experiment log
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code (0 done, 1 failed, 2 wrong usage)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _mend_streams()
    try:
        return _dispatch(words)
    except EpochalError as problem:
        _tell(problem, debug)
        if "--json" in words:
            _tell_json(problem)
        return problem.exit_code
    except KeyboardInterrupt:
        print("epochal: stopped.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (`epochal list | head`) has seen enough; Python would complain again at exit.
        sys.stdout = None
        return 0
    except SystemExit as leave:  # argparse after printing its help
        return leave.code if isinstance(leave.code, int) else 0
    except Exception as problem:
        if debug:
            raise
        return _tell_fault(problem, "--json" in words)


def _mend_streams() -> None:
    """Makes printing possible where a stream is closed, or takes only some characters (a pipe on Windows)."""
    import os

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the process's life
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(USAGE.format(verbs="\n".join(f"  {verb:<10} {what}" for verb, what in VERBS.items())), end="")
        return 0 if words else 2
    if words[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"epochal {version('epochal')}")
        return 0
    if words[0] not in VERBS:
        raise _unknown_verb(words[0])
    import logging
    import os
    import warnings
    from importlib import import_module

    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("The folder you are in was deleted.", hint="Go to another one: cd ~") from None

    warnings.formatwarning = lambda message, *_, **__: f"epochal: warning: {message}\n"
    told = logging.getLogger("epochal")  # what takes long and is no epoch: downloads, drawing
    told.setLevel(logging.INFO)
    told.handlers = [logging.StreamHandler(sys.stderr)]
    # A submodule named `list` would hide the built-in of that name in this module; `import` is no name for one.
    module = {"list": "listing", "import": "import_"}.get(words[0], words[0])
    code = import_module(f"epochal.cli.{module}").main(words[1:])
    sys.stdout.flush()
    return int(code)


def _unknown_verb(typed: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(typed, VERBS, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Verbs: {', '.join(VERBS)}."
    return UsageError(f"There is no verb {typed!r}.", hint=hint)


def _tell(problem: EpochalError, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(problem)
    else:
        print(f"epochal: {problem}", file=sys.stderr)


def _tell_fault(problem: Exception, json: bool) -> int:
    """Says what nobody foresaw: where, when it happened in the user's own recipe file."""
    if isinstance(problem, OSError) and problem.strerror:
        named = "" if problem.filename is None else f" {problem.filename}"
        what = f"{problem.strerror}:{named}" if named else f"{problem.strerror}."
    else:
        what = f"{type(problem).__name__}: {problem}"
    place = _place_in_recipe(problem)
    if place is not None:
        hint = f"Raised by the recipe: {place}. --debug shows the traceback."
    elif isinstance(problem, OSError):
        hint = "The system refused this; --debug shows where."
    else:
        hint = "This is a fault in Epochal or in a recipe; --debug shows the traceback."
    told = EpochalError(what, hint=hint)
    try:
        _tell(told, debug=False)
        if json:
            _tell_json(told)
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # it is what failed: Python must not try again at exit
    return 1


def _place_in_recipe(problem: Exception) -> str | None:
    """The last line of a recipe file that the error passed through."""
    from traceback import extract_tb

    files = {
        getattr(module, "__file__", None)
        for name, module in sys.modules.items()
        if name.startswith("epochal_recipe_")
    }
    lines = [frame for frame in extract_tb(problem.__traceback__) if frame.filename in files]
    return f"{lines[-1].filename}, line {lines[-1].lineno}, in {lines[-1].name}" if lines else None


def _tell_json(problem: EpochalError) -> None:
    from epochal.cli.output import print_json, run_row

    answer = {"error": problem.what, "hint": problem.hint, "exit_code": problem.exit_code}
    runs = getattr(problem, "runs", None)
    print_json(answer if runs is None else {"runs": [run_row(run) for run in runs], **answer})
