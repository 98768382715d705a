"""The command line of the program that the recipes of distillation come from, read as settings of today.

`ARGUMENTS` says what each argument became; docs/wearables.md shows the same table. What a line leaves out has the
former program's value where it had one of its own (200 epochs, seed 1234, …), else that of the recipe's version.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.systems.nets import classifiers
from epochal.training.task import Legacy

YES, NO = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n")
OWN = ("geneactiv-folder", "arrays-folder")
"""Sources of recordings of one's own, in the order in which `--dataset gene` looks for them."""
DATASETS = ("gene", "cifar10")
ONE, TWO = "har-distill", "har-distill-two-teachers"
_GUIDE = "docs/wearables.md has the table of all."


# --- values
# --------------------------------------------------------------------------------------------------


def _network(text: str) -> str:
    # 2-D networks bore the same name without the last 1: wrn163 beside wrn1631.
    return classifiers.canonical(re.sub(r"^wrn(\d\d)(\d)1?$", r"wrn\1-\2", text.lower()))


def _checkpoint(text: str) -> str:
    """The path as it is named, or of what `epochal import weights` made of the file."""
    path = Path(text).expanduser()
    if path.is_dir() or (path.suffix == ".safetensors" and path.is_file()):
        return text
    imported = f"{path.name.removesuffix('.tar').removesuffix('.pth').removesuffix('.pt')}.safetensors"
    for found in (path.with_name(imported), Path(imported)):
        if found.is_file():
            return str(found)
    if path.is_file():
        command = f"epochal import weights {shlex.quote(text)} --net NAME --channels N --classes N"
        raise UsageError(
            f"It has to be imported first, and there is no {imported}.",
            hint=f"{command} writes it (--dims 2 where the network reads pictures); the same line then works.",
        )
    raise UsageError(f"There is no checkpoint {text}.", hint="Name a run's folder or a .safetensors file.")


def _device(text: str) -> str:
    return "cuda" if _switch(text) else "cpu"


def _switch(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise UsageError(f"{text} is neither yes nor no.", hint="Write 1 or 0, true or false.")
    return text.lower() in YES


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text} is no whole number.") from None


def _dataset(text: str) -> str:
    if text.lower() not in DATASETS:
        hint = f"The sets are {' and '.join(DATASETS)}."
        if text.lower().startswith("pamap"):
            hint = (
                "For PAMAP2 leave --dataset and --sbj out, and write beside --legacy-args: --data.source pamap2 "
                "--data.window 100 --data.step 22 --data.scaling minmax --data.test-subject 101"
            )
        raise UsageError(f"There is no set {text!r}.", hint=hint)
    return text.lower()


# --- arguments
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Argument:
    """One argument of the former program.

    Attributes:
        name: as it was typed; `_` and `-` are the same.
        key: the setting it is today, or "seed", "device" or "name" of `epochal run`; empty where nothing is left to
            be said.
        example: a value.
        read: makes a value of its text; a setting checks its values itself.
        unset: the former program's own value, where a line leaves the argument out; None: the version's.
    """

    name: str
    key: str
    example: str
    read: Callable[[str], Any] = str
    unset: Any = None


ARGUMENTS = (
    Argument("--epochs", "epochs", "200", unset=200),
    Argument("--teacher", "teacher.net", "wrn2811", _network),
    Argument("--teacher-checkpoint", "teacher.checkpoint", "old/wrn2811.pth.tar", _checkpoint),
    Argument("--teacher2", "teacher2.net", "wrn1631", _network),
    Argument("--teacher-checkpoint2", "teacher2.checkpoint", "old/wrn1631.pth.tar", _checkpoint),
    Argument("--student", "net.name", "wrn1611", _network),
    Argument("--student-checkpoint", "net.checkpoint", "old/wrn1611.pth.tar", _checkpoint),
    Argument("--cuda", "device", "1", _device),
    Argument("--dataset", "data.source", "gene", _dataset),
    Argument("--batch_size", "batch_size", "64", unset=64),
    Argument("--learning-rate", "optim.lr", "0.05", unset=0.05),
    Argument("--momentum", "optim.momentum", "0.9", unset=0.9),
    Argument("--weight-decay", "optim.weight_decay", "1e-4", unset=1e-4),
    Argument("--trial", "name", "3", lambda text: f"trial-{text}"),
    Argument("--save_weight", "", "1", _switch),
    Argument("--seed", "seed", "1234", _whole, unset=1234),
    Argument("--sp_param", "loss.sp_weight", "700"),
    Argument("--w_size", "data.window", "500"),
    Argument("--sbj", "data.test_subject", "3"),
)
OPTIONS = ("seed", "device", "name")
"""Those keys that are no settings."""


def read(line: str, settings: Any) -> Legacy:
    """`Recipe.legacy` of both recipes: a former command line as settings and options.

    Args:
        line: its arguments; the program's name may stand before them. An argument given twice has its last value.
        settings: those without the line, whose fields tell how many teachers there are and where the data lie.

    Raises:
        UsageError: an unknown argument (with the nearest name), a value that is missing or not allowed, a second
            teacher for a recipe that has one, data that are not there.
    """
    given = _given(line)
    _insist_on_recipe(given, settings)
    values = {one.key: one.unset for one in ARGUMENTS if one.unset is not None}
    for one in ARGUMENTS:
        if one.name in given:
            values |= _value(one, given[one.name], settings)
    options = {key: values.pop(key) for key in OPTIONS if key in values}
    return Legacy(patch=values, remarks=_remarks(given, settings), **options)


def _given(line: str) -> dict[str, str]:
    """The arguments' texts, by their names."""
    try:
        words = shlex.split(line.replace("\\\n", " "))  # a line that was broken in a shell script
    except ValueError as error:
        raise UsageError(f"--legacy-args cannot be read: {error}.", hint="Close every quotation.") from None
    begin = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
    if any(word.endswith(".py") for word in words[:begin]):
        words = words[begin:]
    known = {one.name.replace("_", "-"): one.name for one in ARGUMENTS}
    found: dict[str, str] = {}
    while words:
        word, has_value, text = words.pop(0).partition("=")
        if not word.startswith("--"):
            raise UsageError(f"--legacy-args: did not expect {word!r}.", hint="Arguments are --name VALUE.")
        name = known.get(word.replace("_", "-"))
        if name is None:
            raise _unknown(word)
        if not has_value and words and not words[0].startswith("--"):
            text = words.pop(0)
        if not text:
            raise UsageError(
                f"--legacy-args: {word} has no value.", hint=f"For example {word} {_example(name)}"
            )
        found[name] = text
    return found


def _example(name: str) -> str:
    return next(one.example for one in ARGUMENTS if one.name == name)


def _unknown(word: str) -> UsageError:
    from difflib import get_close_matches

    names = {one.name[2:].replace("_", "-"): one.name for one in ARGUMENTS}
    # Without the dashes that all share.
    near = get_close_matches(word[2:].replace("_", "-"), names, n=2, cutoff=0.6)
    hint = f"Did you mean {' or '.join(names[one] for one in near)}?" if near else _GUIDE
    return UsageError(f"--legacy-args: the former program had no argument {word}.", hint=hint)


def _insist_on_recipe(given: Mapping[str, str], settings: Any) -> None:
    """Refuses what only the other one of the two recipes can do."""
    two = hasattr(settings, "teacher2")
    second = [name for name in given if name in ("--teacher2", "--teacher-checkpoint2")]
    if second and not two:
        raise UsageError(
            f"--legacy-args: {ONE} learns from one teacher, and {second[0]} names a second one.",
            hint=f'epochal run {TWO} --legacy-args "…" learns from both.',
        )
    if two and given.get("--dataset", "").lower() == "cifar10":
        raise UsageError(
            f"--legacy-args: {TWO} has a teacher that reads persistence images, and cifar10 has none.",
            hint=f'epochal run {ONE} --legacy-args "…" learns from one teacher.',
        )


def _value(one: Argument, text: str, settings: Any) -> dict[str, Any]:
    """What an argument sets, by key."""
    try:
        value = one.read(text)
        if one.name == "--dataset":
            return _data(value, settings)
        if one.key in OPTIONS:
            return {one.key: value}
        return settings_room.checked(type(settings), {one.key: value}) if one.key else {}
    except UsageError as problem:
        raise UsageError(f"--legacy-args: {one.name} {text}: {problem.what}", hint=problem.hint) from None


def _data(name: str, settings: Any) -> dict[str, Any]:
    """The settings of a set: pictures by their name, recordings of one's own by what lies in their folder."""
    if name == "cifar10":
        return {"data.name": "cifar10"}
    chosen, wanted = settings.data, {"data.name": "wearables"}
    if chosen.source != "auto":
        return wanted
    from epochal.systems import data

    found = {one.name: one.found for one in data.sources(chosen.dir) if one.found}
    # A named folder is looked into before others: what is found elsewhere is not what was meant.
    home = Path(chosen.dir).expanduser() if chosen.dir else None
    for source in OWN:
        if source in found and (home is None or Path(found[source]).is_relative_to(home)):
            return {**wanted, "data.source": source}
    where = f"none are in {chosen.dir}" if chosen.dir else "--data.dir does not say where they are"
    raise UsageError(
        f"gene means GENEActiv recordings of your own, and {where}.",
        hint="Write beside --legacy-args: --data.dir FOLDER, with CSV exports and labels.csv in it, or X.npy, y.npy, "
        "subject.npy and about.json (docs/wearables.md). `--data.source wrist` needs no files.",
    )


def _remarks(given: Mapping[str, str], settings: Any) -> tuple[str, ...]:
    """What the line means otherwise than its author may think."""
    remarks = []
    if "--save_weight" in given:
        remarks.append("weights are always kept: --save_weight changes nothing")
    if "--teacher" not in given:
        remarks.append(
            f"the line names no --teacher, so {settings.teacher.net} teaches; the former program then trained the "
            "student alone, as `epochal run har-classifier` does"
        )
    return tuple(remarks)
