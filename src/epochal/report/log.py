"""The experiment log as Markdown: what was tried, what came out of it, and what people remarked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import UsageError
from epochal.journal import atomic
from epochal.report import pictures, section, study
from epochal.report.markdown import code, fence, plain, table
from epochal.report.phrases import LANGUAGES
from epochal.report.section import Say, Teller
from epochal.settings import describe

if TYPE_CHECKING:
    import os

    from epochal.journal import Lab, Run
    from epochal.report.study import Entry
    from epochal.training.task import Recipe


def write(recipe: Recipe, lab: Lab, lang: str = "en", out: str | os.PathLike[str] | None = None) -> Path:
    """Writes the experiment log of a recipe's runs; returns its path.

    Pictures are copied beside it, into `<stem>-files/`, and linked relatively: move both together. The same
    lab gives the same text. Only a log of this recipe is overwritten.

    Args:
        recipe: whose runs.
        lab: where they are.
        lang: language of headings and fixed phrases, "en" or "ko".
        out: file to write; by default `RECIPE.md` in the lab.

    Raises:
        UsageError: no runs of this recipe, an unknown language, or a path that is something else already.
        EpochalError: the disk refuses; an older log is as it was.
    """
    if lang not in LANGUAGES:
        raise UsageError(f"unknown language {lang!r}.", hint=f"Choose one of {', '.join(LANGUAGES)}.")
    runs = [run for run in lab.runs() if run.recipe == recipe.name]
    if not runs:
        raise UsageError(
            f"there are no runs of {recipe.name} in {lab.path}.",
            hint=f"Train one: epochal run {recipe.name} (or name another lab with --lab).",
        )
    target = lab.path / f"{recipe.name}.md" if out is None else Path(out)
    mark = f"<!-- epochal log of {recipe.name} -->"
    _check_target(target, mark)
    files = target.with_name(f"{target.stem}-files")
    phrases = LANGUAGES[lang]
    teller = Teller(recipe, lab, study.entries(recipe, runs), lambda key, **f: phrases[key].format(**f))
    newest = sorted(
        ((variant, entry) for entry in teller.entries.values() for variant in entry.variants),
        key=lambda pair: (pair[0].created, pair[0].title),
        reverse=True,
    )
    lines = [mark, "", *_top(teller, runs)]
    for variant, entry in newest:
        copied = pictures.copy(variant.shown, files)
        lines += ["", *section.tell(teller, entry, variant, copied)]
    lines += ["", f"## {teller.say('write again')}", "", *_own_command(recipe, lab, lang)]
    atomic.write_text(target, "\n".join(lines) + "\n")
    return target


def _check_target(target: Path, mark: str) -> None:
    """Refuses to overwrite what is not a log of this recipe."""
    hint = "Choose another file with --out."
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", hint=hint)
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent} to write {target.name} to.", hint=hint)
    if target.with_name(f"{target.stem}-files").is_file():
        raise UsageError(f"{target.stem}-files is a file, but the pictures need a folder there.", hint=hint)
    if target.exists():
        if not target.is_file():  # reading a pipe would wait for ever
            raise UsageError(f"{target} is no plain file.", hint=hint)
        with target.open("rb") as file:
            if file.read(len(mark.encode())) != mark.encode():
                raise UsageError(f"{target} was not written by `epochal log` for this recipe.", hint=hint)


def _top(teller: Teller, runs: Sequence[Run]) -> list[str]:
    """Title, data, lineage, and the tables over all versions."""
    say, recipe = teller.say, teller.recipe
    lines = [f"# {say('title', recipe=plain(recipe.name))}", "", plain(recipe.summary), ""]
    lines += [f"- {say('data')}: {line}" for line in _data(teller, runs)]
    lines += [f"- {say('runs in all')}: {len(runs)}", "", f"## {say('lineage')}", ""]
    lines += fence(_tree(teller.entries, say))
    lines += ["", f"## {say('comparison')}"]
    return [*lines, *_metric_tables(teller), *_loss_table(teller)]


def _data(teller: Teller, runs: Sequence[Run]) -> list[str]:
    say = teller.say
    lines: set[str] = set()
    for run in runs:
        if not run.meta["data"]:
            lines.add(say("unknown data"))
            continue
        digest = str(run.meta["data"].get("sha256") or "")
        kind = say("drawn" if study.is_drawn(run) else "real" if digest else "computed")
        told = f"{teller.data(run)} ({kind})"
        lines.add(f"{told}, SHA-256 {code(digest)}" if digest else told)
    return sorted(lines)


def _tree(entries: Mapping[str, Entry], say: Say) -> list[str]:
    """The lineage as a text tree; what changed stands on each edge."""

    def branch(key: str, stem: str) -> list[str]:
        children = [entry for entry in entries.values() if entry.parent == key]
        lines = []
        for entry in children:
            last = entry is children[-1]
            grown = stem + ("   " if last else "│  ")
            below = "│  " if any(other.parent == entry.key for other in entries.values()) else "   "
            lines.append(f"{stem}{'└─ ' if last else '├─ '}{_node(entry, say)}")
            lines += [f"{grown}{below}{change}" for change in describe(entry.changes)]
            lines += branch(entry.key, grown)
        return lines

    lines = []
    for entry in entries.values():
        if entry.parent not in entries:
            lines += [_node(entry, say), *branch(entry.key, "")]
    return lines


def _node(entry: Entry, say: Say) -> str:
    count = sum(len(variant.runs) for variant in entry.variants)
    trained = say("not trained") if not count else say("run") if count == 1 else say("runs", n=count)
    return f"{entry.title}: {entry.words} ({trained})" if entry.words else f"{entry.title} ({trained})"


def _metric_tables(teller: Teller) -> list[str]:
    """One table a split: quality metrics of every version, oldest first."""
    say = teller.say
    variants = teller.compared
    splits = sorted({split for variant in variants for split in section.evaluated(variant)})
    lines = ["", f"### {say('metrics')}", ""]
    if not splits:
        return [*lines, say("no metrics")]
    smallest, own = 2, {metric.name for metric in teller.recipe.metrics}
    for split in splits:
        measured = [(variant, section.evaluated(variant).get(split, {})) for variant in variants]
        measured = [(variant, numbers) for variant, numbers in measured if numbers]
        names = teller.metric_names({name for _, numbers in measured for name in numbers})
        # What a recipe measures beside its metrics (IoU of each class) stands in the sections.
        names = [name for name in names if name in own] or names
        head = [say("version"), say("on"), say("n"), *(teller.metric_title(name) for name in names)]
        rows = []
        for variant, numbers in measured:
            n = max(summary.n for summary in numbers.values())
            smallest = min(smallest, n)
            cells = [str(numbers[name]) if name in numbers else "–" for name in names]
            rows.append([teller.title(variant), teller.data(variant.shown), str(n), *cells])
        lines += [f"{say('metrics')} {say('split', split=plain(split))}:", ""]
        lines += [*table(head, rows, right=range(2, len(head))), ""]
    several = len({study.data_title(variant.shown) for variant in variants}) > 1
    told = ["metrics how", *(["one run"] if smallest == 1 else []), *(["other data"] if several else [])]
    return [*lines, " ".join(say(key) for key in told)]


def _loss_table(teller: Teller) -> list[str]:
    """Final training losses with the letter of their definition: only equal letters compare."""
    say = teller.say
    rows, letters = [], teller.letters()
    for variant in teller.compared:
        loss = section.final(variant).get("loss")
        if loss is None:
            continue
        reference = study.reported(teller.recipe, variant.shown).get(("train", "loss"))
        letter = letters.get(section.kind_of_loss(variant.shown), "?")
        data = teller.data(variant.shown)
        ends = sorted({run.meta["epochs_done"] for run in variant.counted or [variant.shown]})
        done = "–".join(map(str, dict.fromkeys((ends[0], ends[-1]))))
        compares = reference is not None and not section.why_not(teller, variant)
        told = f"{reference:g}" if compares else "–"
        rows.append([teller.title(variant), data, done, str(loss.n), str(loss), told, letter])
    if not rows:
        return []
    head = [say(key) for key in ("version", "on", "epochs", "n", "loss", "reported", "definition")]
    lines = ["", f"### {say('losses')}", "", *table(head, rows, right=(2, 3, 4, 5)), ""]
    lines.append(say("loss how" if len(letters) > 1 else "same definition"))
    return [*lines, "", *(f"- {letter}. {kind}" for kind, letter in letters.items())]


def _own_command(recipe: Recipe, lab: Lab, lang: str) -> list[str]:
    return fence([shlex.join(["epochal", "log", recipe.name, "--lang", lang, "--lab", lab.path.name])], "sh")
