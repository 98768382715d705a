"""How verbs answer: tables (rich on a terminal, plain aligned text elsewhere), JSON, sizes, durations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.journal import Run


_LONGEST_WORD = 30  # that a column of a table makes room for


def print_json(value: Any) -> None:
    """Prints one JSON document; numbers that are not finite become null, as JSON has no word for them."""
    import json

    # What an output cannot encode must be escaped as JSON escapes it.
    narrow = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    print(json.dumps(_plain(value), indent=2, ensure_ascii=narrow, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Prints rows under their columns; None is shown as a dash."""
    columns, title = [clean(column) for column in columns], clean(title)
    cells = [[clean("–" if cell is None else str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, cells, title)
        return
    if title:
        print(title)
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (columns, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def clean(text: str) -> str:
    """Text that may come from somebody else's run, without characters that steer a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def run_row(run: Run) -> dict[str, Any]:
    """A run in a listing, with stable keys; the numbers of a fleet stand in its `groups`, a set of settings each."""
    from epochal.api import groups_of, status_of

    meta, groups, unreadable = run.meta, [], None
    try:
        groups = groups_of(run)
    except EpochalError as problem:  # a spoilt table of members must not keep the others from being listed
        unreadable = problem.what
    return {
        "run": run.id,
        "folder": str(run.path),
        "recipe": run.recipe,
        "version": run.version,
        "name": run.name,
        "seed": run.seed,
        "members": run.members,
        "status": status_of(run),
        "reason": meta["reason"] or unreadable,
        "parent": run.parent,
        "created": meta["created"],
        "epochs_done": meta["epochs_done"],
        "metrics": meta["final"],
        "evaluation": meta["evaluation"],
        "groups": groups,
    }


def print_measured_with(texts: Mapping[str, str]) -> None:
    """What the numbers above depend on, in words."""
    for name, text in texts.items():
        print(f"{clean(name.replace('_', ' '))}: {clean(text)}")


def print_runs(runs: Sequence[Run], *, title: str = "") -> None:
    """The table of runs: what they are, how far they came, their last training loss; of a fleet its median."""
    columns = ("run", "recipe", "version", "seed", "status", "epochs", "loss", "forked from")
    print_table(columns, [_run_cells(run) for run in runs], title=title)


def print_trained(runs: Sequence[Run]) -> None:
    """What a command trained: a line a run; of a fleet also its groups."""
    from epochal.api import groups_of

    for run in runs:
        print(f"{run.id}  {run.status}  {run.path}")
        if run.members:
            print_groups(groups_of(run))


def print_groups(groups: Sequence[Mapping[str, Any]]) -> None:
    """The groups of a fleet as `api.show` gives them: settings, members, steps, values over the seeds."""
    from epochal.settings.check import shown

    keys = list(dict.fromkeys(key for group in groups for key in group["patch"]))
    names = list(dict.fromkeys(name for group in groups for name in group["final"]))
    stops = any(group["reached"] is not None for group in groups)
    rows = []
    for group in groups:
        cells = [shown(group["patch"][key]) if key in group["patch"] else None for key in keys]
        cells += [f"{group['members']:,}", f"{group['failed']:,}"]
        if stops:
            cells += [
                _share(group["reached"], group["members"] - group["failed"]),
                _steps(group["median_steps"]),
            ]
        rows.append([*cells, *(spread(group["final"].get(name)) for name in names)])
    ends = ("reached", "median steps") if stops else ()
    print_table((*keys, "members", "failed", *ends, *names), rows)


def print_evaluations(groups: Sequence[Mapping[str, Any]], *, only: str | None = None) -> None:
    """What was measured of a fleet's members, a table a split: settings, members, values over the seeds."""
    from epochal.settings.check import shown

    keys = list(dict.fromkeys(key for group in groups for key in group["patch"]))
    for split in dict.fromkeys(split for group in groups for split in group["evaluation"]):
        if only not in (None, split):
            continue
        measured = [group["evaluation"].get(split, {}) for group in groups]
        names = list(dict.fromkeys(name for numbers in measured for name in numbers))
        rows = [
            [
                *(shown(group["patch"].get(key)) for key in keys),
                *(spread(numbers.get(name)) for name in names),
            ]
            for group, numbers in zip(groups, measured, strict=True)
        ]
        print_table((*keys, *names), rows, title=f"on {split}")


def spread(summary: Mapping[str, Any] | None) -> str | None:
    """Mean ± standard deviation of a summary in JSON form."""
    from epochal.evidence.comparison import Summary

    if summary is None:
        return None
    return str(Summary(summary["mean"], nan if summary["sd"] is None else summary["sd"], summary["n"]))


def number(value: Any) -> str:
    """A measured number in six digits; None as a dash."""
    return "–" if value is None else f"{value:.6g}"


def size(count: float) -> str:
    """Bytes for people: `12.3 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def minutes(value: float | None) -> str:
    """A rough duration: `40 s`, `12 min`, `3 h`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 60:.0f} s"
    return f"{value:.0f} min" if value < 90 else f"{value / 60:.1f} h"


def _share(part: int | None, whole: int) -> str | None:
    return None if part is None or not whole else f"{part:,} ({100 * part / whole:.1f} %)"


def _steps(median: float | None) -> str | None:
    return None if median is None else f"{median:,.0f}"


def seeds_of(run: Run) -> str:
    """A run's seed; of a fleet its seeds and how many members they make."""
    from epochal.journal.members import seeds_text

    return f"{seeds_text(run)} ({run.members:,} members)" if run.members else str(run.seed)


def _run_cells(run: Run) -> tuple[Any, ...]:
    from epochal.api import status_of

    epochs = f"{run.meta['epochs_done']}/{run.settings.get('epochs', '?')}"
    named = run.id, run.recipe, run.title
    return *named, seeds_of(run), status_of(run), epochs, _loss(run), run.parent


def _loss(run: Run) -> str | None:
    """A run's last training loss; of a fleet the median over its members, where it is one loss."""
    from epochal.evidence.groups import median_loss

    if not run.members:
        loss = run.meta["final"].get("loss")
        return None if loss is None else number(loss)
    try:
        median, formulas = median_loss(run)
    except EpochalError:  # which `show` says
        return None
    if formulas > 1:
        return f"{formulas} formulas"
    return None if median is None else f"{number(median)} (median)"


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for place, column in enumerate(columns):
        words = [word for text in (column, *(row[place] for row in cells)) for word in text.split()]
        width = min(max(map(len, words), default=1), _LONGEST_WORD)
        # An id that is cut or wrapped cannot be copied; other text breaks between words as long as these fit.
        table.add_column(column, overflow="fold", no_wrap=column == "run", min_width=width)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
