"""One section of the log: a version or fork, from what changed to what people remarked."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import ceil, isfinite
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

from epochal import settings
from epochal.evidence.comparison import Summary
from epochal.journal.members import seeds_text
from epochal.report import fleet, study
from epochal.report.markdown import code, fence, picture, plain, table, upper_first
from epochal.report.pictures import title_of
from epochal.settings.check import shown

if TYPE_CHECKING:
    from epochal.journal import Lab, Run
    from epochal.report.study import Entry, Variant
    from epochal.training.task import Recipe

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ARROWS = {"lower": "↓", "higher": "↑"}
ENDS = ("low", "high")
"""What follows a metric's name where `evaluate` gives its 95 % interval over the items measured."""
HEAD_LINES, TAIL_LINES = 12, 10
"""Lines of a console log that are shown before and after its elided middle."""
_LONGEST_LINE = 500
_STAMP = re.compile(r"^\*\*(\d{4}-\d\d-\d\d \d\d:\d\d UTC)\*\* *$", re.MULTILINE)


class Say(Protocol):
    """A fixed phrase in the log's language, its `{fields}` filled in."""

    def __call__(self, key: str, **fields: Any) -> str:
        """The phrase."""


@dataclass(frozen=True)
class Teller:
    """What every part of the log needs to know."""

    recipe: Recipe
    lab: Lab
    entries: Mapping[str, Entry]
    say: Say

    def variants(self) -> list[Variant]:
        """All variants, parents before children."""
        return [variant for entry in self.entries.values() for variant in entry.variants]

    @cached_property
    def compared(self) -> list[Variant]:
        """What the tables over all versions compare: the variants, a fleet's by the settings of its members."""
        return [one for variant in self.variants() for one in fleet.compared(variant)]

    def title(self, variant: Variant) -> str:
        """A variant's title; its status with it when no run is finished."""
        run = variant.shown
        status = "" if variant.counted else f" ({self.say('interrupted' if run.interrupted else run.status)})"
        return plain(variant.title) + status

    def data(self, run: Run) -> str:
        """What a run was trained on, in the log's language."""
        glyphs = run.meta["data"].get("name") == "glyphs"
        name = self.say("glyphs") if glyphs else plain(study.data_name(run))
        limit, items = study.data_limit(run), study.data_items(run)
        if limit is None:
            return name
        if items is None:
            return self.say("limited at most", data=name, n=f"{limit:,}")
        return self.say("limited", data=name, n=f"{items:,}")

    def letters(self) -> dict[str, str]:
        """A letter for each kind of loss (its definition on its data), in order of appearance."""
        kinds = dict.fromkeys(kind_of_loss(variant.shown) for variant in self.compared)
        return {kind: LETTERS[i % 26] + "'" * (i // 26) for i, kind in enumerate(filter(None, kinds))}

    def metric_names(self, measured: set[str]) -> list[str]:
        """Names of metrics, those of the recipe first and in its order; the ends of intervals are left out."""
        known = [metric.name for metric in self.recipe.metrics if metric.name in measured]
        ends = {f"{name}_{end}" for name in measured for end in ENDS}
        return [*known, *sorted(measured - set(known) - ends)]

    def metric_title(self, name: str) -> str:
        """A metric's name with an arrow to its better side."""
        better = next((metric.better for metric in self.recipe.metrics if metric.name == name), "")
        return f"{plain(name)} {ARROWS.get(better, '')}".strip()


def tell(teller: Teller, entry: Entry, variant: Variant, pictures: Sequence[PurePath]) -> list[str]:
    """The lines of a section; `pictures` are the paths of the copied pictures, relative to the log."""
    say = teller.say
    numbers = (
        [_runs(variant, say), [*fleet.tell(teller, variant.shown), *_reported(teller, variant)]]
        if variant.shown.members
        else [_epochs_and_loss(teller, entry, variant), _runs(variant, say), _metrics(teller, variant)]
    )
    parts = [
        [f"## {plain(variant.title)} — {_minute(variant.created)}"],
        _change(teller, entry, variant),
        _settings(teller, entry, variant),
        *numbers,
        _pictures(variant, pictures, say),
        _console(variant, say),
        _machine(variant, say),
        _commands(teller, variant),
        _remarks(variant, say),
    ]
    return [line for part in parts if part for line in ("", *part)][1:]


def kind_of_loss(run: Run) -> str:
    """The loss and the data it was measured on, as Markdown; empty when it was not recorded."""
    text = definition(run)
    return f"{plain(study.data_name(run))}: {code(text)}" if text else ""


def definition(run: Run) -> str:
    """A run's loss as its phases define it; empty when it was not recorded."""
    return study.formula(run.meta["loss_definition"])


def final(variant: Variant) -> dict[str, Summary]:
    """The last epoch's values over the runs that count."""
    return _summaries([run.meta["final"] for run in variant.counted or [variant.shown]])


def evaluated(variant: Variant) -> dict[str, dict[str, Summary]]:
    """Quality metrics over the runs that count, by split."""
    evaluations = [run.meta["evaluation"] for run in variant.counted or [variant.shown]]
    splits = dict.fromkeys(split for one in evaluations for split in one)
    found = {
        split: _summaries([one[split] for one in evaluations if isinstance(one.get(split), dict)])
        for split in splits
    }
    return {split: numbers for split, numbers in found.items() if numbers}


def _summaries(records: Sequence[Mapping[str, Any]]) -> dict[str, Summary]:
    flat = [settings.flatten(record) for record in records]
    found = {}
    for name in dict.fromkeys(name for record in flat for name in record):
        values = [record[name] for record in flat if name in record]
        numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        summary = Summary.of(numbers)
        if summary is not None:
            found[name] = summary
    return found


def _change(teller: Teller, entry: Entry, variant: Variant) -> list[str]:
    say = teller.say
    lines = [f"### {say('change')}", ""]
    parent = teller.entries.get(entry.parent or "")
    told = [say("from", parent=f"**{plain(parent.title)}**")] if parent else []
    if entry.words:
        told = [" — ".join([*(line.rstrip(".") for line in told), plain(entry.words) + "."])]
    elif not parent:
        told.append(say("first"))
    lines.append(" ".join(told))
    if entry.changes:
        lines += ["", *(f"- {code(line)}" for line in settings.describe(entry.changes))]
    elif parent and not entry.words:
        lines += ["", say("seed only")]
    own = {key: shown(new) for key, (_, new) in entry.changes.items()}
    other = {key: value for key, value in _own(teller, variant).items() if own.get(key) != value}
    if other:
        lines += ["", say("overrides"), ""]
        lines += [f"- {code(f'{key} = {value}')}" for key, value in other.items()]
    return lines


def _own(teller: Teller, variant: Variant) -> dict[str, str]:
    """Settings that are not the version's own, as text; of a fleet with all values that its members have."""
    other = study.overrides(teller.recipe, variant.shown)
    return {key: shown(value) for key, value in other.items()} | fleet.varied(variant.shown, teller.say)


def _settings(teller: Teller, entry: Entry, variant: Variant) -> list[str]:
    say = teller.say
    own = _own(teller, variant)
    changed = {*entry.changes, *own}
    rows = []
    for key, value in settings.flatten(variant.shown.settings).items():
        cells = [code(key), code(own.get(key) or shown(value))]
        rows.append([f"**{cell}**" for cell in cells] if key in changed else cells)
    lines = [f"### {say('settings')}", "", *table([say("setting"), say("value")], rows)]
    told = "bold both" if entry.changes and own else "bold" if entry.changes else "bold own"
    return [*lines, "", say(told)] if changed else lines


def _epochs_and_loss(teller: Teller, entry: Entry, variant: Variant) -> list[str]:
    say, run = teller.say, variant.shown
    lines = [f"### {say('epochs and loss')}", ""]
    total = settings.flatten(run.settings).get("epochs", "?")
    lines.append(f"- {say('epochs of', done=run.meta['epochs_done'], total=total)}")
    missed = study.missed_steps(run)
    if missed:
        lines.append(f"- {say('steps of', **missed)}")
    values = final(variant)
    reference = {
        name if split == "train" else f"{split}/{name}": value
        for (split, name), value in study.reported(teller.recipe, run).items()
        if split != "test"
    }
    if not values:
        lines.append(f"- {say('no values')}")
    for name in dict.fromkeys([name for name in ("loss", *reference) if name in values or name in reference]):
        lines.append(f"- {_beside_reference(teller, variant, name, values.get(name), reference.get(name))}")
    parts = [f"{plain(name)} {value}" for name, value in values.items() if name not in ("loss", *reference)]
    if parts:
        lines.append(f"- {say('parts')}: {', '.join(parts)}")
    parent = teller.entries.get(entry.parent or "")
    if parent and parent.variants:
        theirs, own = definition(parent.variants[-1].shown), definition(run)
        if theirs and own and theirs != own:
            a, b = plain(parent.title), plain(variant.title)
            lines.append(f"- {say('not comparable', a=a, da=code(theirs), b=b, db=code(own))}")
    return lines


def _beside_reference(
    teller: Teller, variant: Variant, name: str, value: Summary | None, reference: float | None
) -> str:
    """A final value beside what the reference log reports, and whether the two compare."""
    say = teller.say
    title = say("final loss") if name == "loss" else plain(name)
    told = f"{title}: **{value}**" if value is not None else f"{title}: –"
    if value is not None and value.n > 1:
        told += f" ({say('over seeds', n=value.n)})"
    if reference is None:
        return told
    told += f". {say('reference', value=f'{reference:g}')}"
    why = why_not(teller, variant)
    if why:
        return f"{told} ({say('reference elsewhere', why=why)})"
    if value is None or not isfinite(value.mean) or reference == 0:
        return told
    return f"{told} ({say('difference is', percent=f'{100 * (value.mean / reference - 1):+.2f} %')})"


def why_not(teller: Teller, variant: Variant) -> str:
    """Why the reference's numbers do not compare with a variant's; empty when they do."""
    say = teller.say
    reasons = [
        say("why drawn") if study.is_drawn(variant.shown) else "",
        say("why settings") if study.overrides(teller.recipe, variant.shown) else "",
        "" if variant.counted else say("why unfinished"),
    ]
    return ", ".join(filter(None, reasons))


def _runs(variant: Variant, say: Say) -> list[str]:
    rows = []
    for run in variant.runs:
        status = say("interrupted" if run.interrupted else run.status)
        if run.meta["reason"]:
            status += f" ({say('reason')}: {plain(str(run.meta['reason'])[:_LONGEST_LINE])})"
        loss = _summaries([run.meta["final"]]).get("loss")
        seconds = _seconds(run)
        rate = _rate(run, seconds)
        rate = "–" if run.members else rate  # of which network?
        cells = [str(run.meta["epochs_done"]), "–" if loss is None else str(loss), _duration(seconds), rate]
        rows.append([seeds_text(run) if run.members else str(run.seed), code(run.id), status, *cells])
    head = [say("seed"), *(say(key) for key in ("run id", "status", "epochs", "loss", "time", "rate"))]
    return [f"### {say('seeds')}", "", *table(head, rows, right=(0, 3, 4, 5, 6))]


def _metrics(teller: Teller, variant: Variant) -> list[str]:
    """What was measured on each split, what it means, and beside it what a reference reports of the test set."""
    say = teller.say
    what = {metric.name: metric.what for metric in teller.recipe.metrics}
    reported = study.reported(teller.recipe, variant.shown)
    measured: dict[str, dict[str, Summary]] = evaluated(variant)
    if any(split == "test" for split, _ in reported):
        measured.setdefault("test", {})
    lines = []
    for split, numbers in measured.items():
        reference = {name: value for (of, name), value in reported.items() if of == split == "test"}
        head = [say("metric"), say("value"), *([say("reported")] if reference else []), say("meaning")]
        rows = []
        for name in teller.metric_names({*numbers, *reference}):
            cells = [f"{reference[name]:g}" if name in reference else "–"] if reference else []
            value = str(numbers.get(name, "–")) + _interval(numbers, name)
            rows.append([teller.metric_title(name), value, *cells, plain(what.get(name, ""))])
        n = max((number.n for number in numbers.values()), default=0)
        over = f" ({say('over seeds', n=n)})" if n > 1 else ""
        lines += [f"### {say('metrics')} {say('split', split=plain(split))}{over}", ""]
        lines += [*table(head, rows, right=range(1, len(head) - 1)), ""]
        lines += [say("interval how"), ""] if any(_interval(numbers, name) for name in numbers) else []
        lines += [line for text in _measured_with(variant, split) for line in (text, "")]
        about = _of_reference(teller, variant) if reference else []
        lines += [f"{upper_first(say('reported'))}: {'; '.join(about)}.", ""] if about else []
    return lines[:-1]


def _measured_with(variant: Variant, split: str) -> list[str]:
    """What the numbers depend on, in the words of the recipe: each text once, whatever run it is of."""
    told = [run.meta["measured_with"].get(split, {}) for run in variant.counted or [variant.shown]]
    pairs = dict.fromkeys((name, text) for texts in told for name, text in texts.items())
    return [f"{upper_first(plain(name.replace('_', ' ')))}: {plain(text)}." for name, text in pairs]


def _interval(numbers: Mapping[str, Summary], name: str) -> str:
    """A metric's interval over the items measured, where there is one: " [0.903, 0.914]"."""
    ends = [numbers[f"{name}_{end}"] for end in ENDS if f"{name}_{end}" in numbers]
    return f" [{ends[0].mean:.4g}, {ends[1].mean:.4g}]" if len(ends) == len(ENDS) else ""


def _reported(teller: Teller, variant: Variant) -> list[str]:
    """What a reference reports of the version that a fleet's networks train."""
    numbers = study.reported(teller.recipe, variant.shown)
    if not numbers:
        return []
    told = ", ".join(
        plain(f"{name if split == 'train' else f'{split} {name}'} {value:g}")
        for (split, name), value in numbers.items()
    )
    return ["", "; ".join([teller.say("reference", value=told), *_of_reference(teller, variant)]) + "."]


def _of_reference(teller: Teller, variant: Variant) -> list[str]:
    """Where reported numbers are from, and why they do not compare where they do not."""
    say, version = teller.say, study.version_of(teller.recipe, variant.shown)
    source = plain(version.source) if version is not None else ""
    told = [say("reported by", source=source)] if source else []
    why = why_not(teller, variant)
    return [*told, say("reference elsewhere", why=why)] if why else told


def _pictures(variant: Variant, pictures: Sequence[PurePath], say: Say) -> list[str]:
    """Each picture below its name and what it shows."""
    run = variant.shown
    lines = [f"### {say('pictures')}", ""]
    if not pictures:
        return [*lines, say("no pictures")]
    whose = "pictures of networks" if run.members else "pictures of"
    lines.append(say(whose, n=f"{run.members:,}", seed=run.seed, run=code(run.id)))
    for path in pictures:
        folder = run.figures_dir if (run.figures_dir / path.name).is_file() else run.samples_dir
        title = title_of(folder / path.name)
        lines += ["", f"{code(path.stem)}: {plain(title)}", "", picture(path, title)]
    return lines


def _console(variant: Variant, say: Say) -> list[str]:
    lines = []
    for run in variant.runs:
        told = _elided(run.path / "console.log", say)
        if told:
            title = say("console") if len(variant.runs) == 1 else say("console of", seed=run.seed)
            lines += ["<details>", f"<summary>{title}</summary>", "", *fence(told), "", "</details>", ""]
    return [f"### {say('console')}", "", *lines[:-1]] if lines else []


def _elided(path: Path, say: Say) -> list[str]:
    """A console log's lines, a long middle left out; reads it once and keeps only the ends."""
    if path.is_symlink() or not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        # What a progress bar overwrote on its line is gone on the terminal as well.
        lines = (line.rstrip("\r\n").rpartition("\r")[2][:_LONGEST_LINE] for line in file)
        start = list(islice(lines, HEAD_LINES))
        rest: deque[str] = deque(maxlen=TAIL_LINES)
        count = 0
        for line in lines:
            rest.append(line)
            count += 1
    left_out = count - len(rest)
    return [*start, *([say("elided", n=left_out)] if left_out else []), *rest]


def _machine(variant: Variant, say: Say) -> list[str]:
    run = variant.shown
    meta, lines = run.meta, [f"### {say('machine')}", ""]
    seconds = _seconds(run)
    if seconds:
        rate = _rate(run, seconds)
        told = say("wall how", time=_duration(seconds), seed=run.seed, rate=rate)
        if run.members:
            told = say("wall of networks", time=_duration(seconds), n=f"{run.members:,}")
        lines.append(f"- {say('wall')}: {told}")
    machine = meta["environment"]
    hardware = [plain(str(machine["cpu"]))] if machine.get("cpu") else []
    if machine.get("cores"):
        hardware.append(say("cores", n=machine["cores"]))
    if machine.get("memory_bytes"):
        hardware.append(say("memory", gib=round(machine["memory_bytes"] / 2**30)))
    if meta["device"]:
        hardware.append(say("device", device=plain(meta["device"])))
    if hardware:
        lines.append(f"- {say('hardware')}: {', '.join(hardware)}")
    choices = [f"{plain(str(key))} {plain(str(value))}" for key, value in meta["choices"].items()]
    if choices or meta["precision"]:
        lines.append(f"- {say('precision')}: {', '.join(choices) or plain(meta['precision'])}")
    versions = {"Python": machine.get("python"), **(machine.get("packages") or {})}
    software = [f"{plain(name)} {plain(str(version))}" for name, version in versions.items() if version]
    if software:
        lines.append(f"- {say('software')}: {', '.join(software)}")
    git = meta["git"] or {}
    if git.get("commit"):
        dirty = f" ({say('dirty')})" if git.get("dirty") else ""
        lines.append(f"- {say('git commit', commit=code(str(git['commit'])))}{dirty}")
    return lines if len(lines) > 2 else []


def _commands(teller: Teller, variant: Variant) -> list[str]:
    """The commands as typed, and ones that start the same settings again whatever was typed."""
    say = teller.say
    typed = dict.fromkeys(
        shlex.join(map(str, run.meta["command"]))
        for run in variant.runs
        if run.meta["command"] and Path(str(run.meta["command"][0])).stem == "epochal"
    )
    again, measured = [], []
    for run in variant.runs:
        saved = PurePath(teller.lab.path.name, run.path.name, "run.json").as_posix()
        words = [
            "epochal",
            "run",
            run.meta["recipe_file"] or run.recipe,
            *([run.version] if run.version else []),
        ]
        if run.members:
            words += fleet.grid_words(run)
        again.append(shlex.join([*words, "--settings", saved, "--seed", str(run.seed)]))
        measured += [
            shlex.join(["epochal", "evaluate", run.id, "--split", str(split)])
            for split in (fleet.splits(run) if run.members else run.meta["evaluation"])
        ]
    told = {
        say("as started") + _unnamed(variant, say): typed,
        say("same again"): again,
        say("measure"): measured,
    }
    lines = [line for title, commands in told.items() if commands for line in (f"# {title}", *commands)]
    return [f"### {say('reproduce')}", "", *fence(lines, "sh")]


def _unnamed(variant: Variant, say: Say) -> str:
    """The version that the commands as typed do not name: the newest of that time, which need not be today's."""
    run = variant.shown
    left_out = run.parent is None and run.version and run.version not in run.meta["command"]
    return f" ({say('the version was', version=run.version)})" if left_out else ""


def _remarks(variant: Variant, say: Say) -> list[str]:
    """The notes exactly as written; one that several seeds share is shown once."""
    told: dict[tuple[str, str], list[int]] = {}
    for run in variant.runs:
        for stamp, text in _notes(run.notes()):
            told.setdefault((stamp, text), []).append(run.seed)
    lines = [f"### {say('remarks')}", ""]
    if not told:
        return [*lines, say("no remarks")]
    for (stamp, text), seeds in told.items():
        by = say("remark by", seeds=", ".join(map(str, seeds))) if len(variant.runs) > 1 else ""
        head = ", ".join(filter(None, (stamp, by)))
        lines += [*([f"{head}:", ""] if head else []), *fence([text]), ""]
    return lines[:-1]


def _notes(text: str) -> list[tuple[str, str]]:
    """(time, words) of each remark; what was written by hand before the first one has no time."""
    before, *dated = _STAMP.split(text)
    pairs = [("", before), *zip(dated[::2], dated[1::2], strict=True)]
    return [(stamp, words.strip("\r\n")) for stamp, words in pairs if words.strip()]


def _seconds(run: Run) -> float:
    """Seconds spent in training, those before a resume included."""
    return max((float(line.get("time") or 0.0) for line in run.metrics()[-2:]), default=0.0)


def _rate(run: Run, seconds: float) -> str:
    flat = settings.flatten(run.settings)
    steps, batch, items = run.meta["steps_done"], flat.get("batch_size") or 0, study.data_items(run)
    seen = steps * batch
    if items and batch:
        passes, rest = divmod(steps, ceil(items / batch))  # the last batch of a pass is smaller
        seen = passes * items + rest * batch
    elif flat.get("data.limit"):
        seen = min(seen, run.meta["epochs_done"] * flat["data.limit"])
    return f"{seen / seconds:,.0f}" if seen and seconds else "–"


def _duration(seconds: float) -> str:
    if not seconds:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:16]} UTC"
