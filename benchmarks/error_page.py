"""Provokes every error message a user can cause, and writes the page of them.

    python benchmarks/error_page.py [--out docs/errors.md]

Each case of `error_cases.py`, `error_cases_systems.py` and `error_cases_wearables.py` runs the real command in a
folder of its own. Exits 1 when one ends otherwise than declared, says something else, shows a traceback, or says it
twice or at length.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from unittest import mock

import error_cases
import error_cases_systems
import error_cases_wearables
from error_cases import Case, Place

CASES = (*error_cases.CASES, *error_cases_systems.CASES, *error_cases_wearables.CASES)

MOST_LINES = 8
_ID = re.compile(r"\d{8}-\d{6}-([\w.\-]+?)-s(\d+)-[a-z2-7]{4}")
_STEADY = (
    (_ID, r"20260102-030405-\1-s\2-abcd"),
    (re.compile(r"trained by process \d+"), "trained by process 4711"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0x7f00"),
    (re.compile(r"\b1\d\d\.\d kB"), "100.0 kB"),
    (re.compile(r"\.[\d]+-[0-9a-f]{8}\.tmp"), ".tmp"),
    (re.compile(r"-[0-9a-f]{32}\.npy"), "-7f00.npy"),
)


@dataclass(frozen=True)
class Outcome:
    """What a case did: everything it printed (with stable names), its exit code, and what is wrong with it."""

    said: str
    code: int
    faults: tuple[str, ...]


class Workshop:
    """The folder in which the cases run, one after the other, each from the same start.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.project = self.home / "project"
        self.template = self.home / "template"
        self.started = False

    def run(self, case: Case) -> Outcome:
        """Provokes one error."""
        with self._surroundings():
            if not self.started:
                self._start()
            shutil.rmtree(self.project, ignore_errors=True)
            shutil.copytree(self.template, self.project, symlinks=True)
            os.chdir(self.project)
            place = Place(self.project)
            out, problem = io.StringIO(), ""
            with contextlib.ExitStack() as stack:
                if case.prepare is not None:
                    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                        around = case.prepare(place)
                    if around is not None:
                        stack.enter_context(around)
                if not case.trains:
                    stack.enter_context(mock.patch("epochal.training.engine.train", _accepted))
                stack.enter_context(contextlib.redirect_stdout(out))
                stack.enter_context(contextlib.redirect_stderr(out))
                try:
                    code = case.call(place) if case.call is not None else _command(case)
                except Exception as error:
                    code, problem = -1, f"it escaped as {type(error).__name__}: {error}"
        said = self._steady(out.getvalue()).strip()
        return Outcome(said, code, tuple(_faults(case, said, code, problem)))

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        """A user who has set nothing, working in the project's folder."""
        before = Path.cwd()
        own = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "EPOCHAL_CACHE": str(self.home / ".cache" / "epochal"),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EPOCHAL_")}
        self.project.mkdir(exist_ok=True)
        os.chdir(self.project)
        try:
            with (
                mock.patch.dict(os.environ, {**kept, **own}, clear=True),
                warnings.catch_warnings(),
            ):
                yield
        finally:
            os.chdir(before)

    def _start(self) -> None:
        """Trains the runs that the cases meet."""
        self.template.mkdir()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Place(self.project).begin()
        shutil.copytree(self.project, self.template, dirs_exist_ok=True)
        self.started = True

    def _steady(self, text: str) -> str:
        for folder, name in ((self.project, "/home/you/project"), (self.home, "/home/you")):
            text = text.replace(str(folder), name)
        for pattern, shown in _STEADY:
            text = pattern.sub(shown, text)
        return text


def _accepted(*_: object, **__: object) -> None:
    raise RuntimeError("the mistake was accepted and the training began")


def _command(case: Case) -> int:
    from epochal.cli import main

    with mock.patch.object(sys, "argv", ["epochal", *case.words]):
        return main(case.all_words())


def _faults(case: Case, said: str, code: int, problem: str) -> Iterator[str]:
    if problem:
        yield problem
    elif code != case.code:
        yield f"exit code {code}, not {case.code}"
    if case.says not in said:
        yield f"{case.says!r} is not said"
    if "Traceback" in said:
        yield "shows a traceback"
    if "fault in Epochal or in a recipe" in said and not case.recipes_fault:
        yield "blames Epochal for the user's mistake"
    if len(said.splitlines()) > MOST_LINES:
        yield f"{len(said.splitlines())} lines"
    if said.count("epochal: ") > 1:
        yield "says it twice"


def page(outcomes: Sequence[tuple[Case, Outcome]]) -> str:
    """The page in Markdown."""
    lines = [
        "# Error messages",
        "",
        f"Every message that a user's mistake, a full disk or a broken file can cause: {len(outcomes)} cases, "
        "each really provoked.",
        "Written by `python benchmarks/error_page.py`, which fails when one of them ends otherwise.",
        "",
        "Exit codes: 0 done, 1 failed, 2 wrong usage (nothing was started). `--debug` adds the traceback, "
        "`--json` the same answer as an object on standard output. Commands that train were given "
        "`--quiet --device cpu --precision float32` as well.",
    ]
    for area, cases in groupby(outcomes, key=lambda pair: pair[0].area):
        lines += ["", f"## {area}"]
        for case, outcome in cases:
            lines += ["", f"### {case.title}", ""]
            if case.before:
                lines += [f"{case.before}.", ""]
            shown = case.shown or f"$ {shlex.join(['epochal', *case.words])}"
            fence = "```" if "```" not in outcome.said else "````"
            lines += [f"{fence}text", shown, outcome.said, fence, f"Exit code {outcome.code}."]
            if case.advice:
                lines[-1] += f" {case.advice}"
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all cases and writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(description="Provoke every error message and write the page of them.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "errors.md"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose title or area holds it")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if options.only.lower() in f"{case.area} {case.title}".lower()]
    with tempfile.TemporaryDirectory(prefix="epochal-errors-") as folder:
        workshop = Workshop(Path(folder))
        outcomes = [(case, workshop.run(case)) for case in cases]
    for case, outcome in outcomes:
        if outcome.faults:
            print(f"{case.area}: {case.title}: {'; '.join(outcome.faults)}", file=sys.stderr)
            print(f"{outcome.said[:1000]}\n", file=sys.stderr)
    if options.only:
        print("\n\n".join(outcome.said for _, outcome in outcomes))
    else:
        options.out.write_text(page(outcomes), encoding="utf-8")
        print(f"{len(outcomes)} cases: {options.out}")
    return 1 if any(outcome.faults for _, outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
