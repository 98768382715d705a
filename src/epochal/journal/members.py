"""Members of a fleet: many networks trained as one stacked model in one run folder, each of them a run to look at.

members.jsonl holds one line a member, in the order of the stacked arrays; lines of metrics.jsonl name theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from epochal import settings
from epochal.errors import EpochalError, UsageError
from epochal.journal import atomic, jsonl, strict_json
from epochal.journal.run import LogName, Run

NAME: Final = "members.jsonl"
STATUSES: Final = ("running", "finished", "failed")
"""A member that is neither finished nor failed by itself is "running": it shares its fleet's status."""

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "seed": (int,),
    "patch": (dict,),
    "status": (str,),
    "steps": (int,),
    "epochs": (int,),
    "reached": (bool, type(None)),
    "final": (dict,),
}
_SHOWN = 5
_VALUES_SHOWN = 8


class MemberRun(Run):
    """A member of a fleet, seen as a run of its own: its settings, seed and numbers, the fleet's folder.

    Only its evaluation and notes can be written: everything else is the fleet's.

    Args:
        fleet: the run that holds it.
        line: its line of members.jsonl.
    """

    def __init__(self, fleet: Run, line: Mapping[str, Any]) -> None:
        super().__init__(fleet.path)
        self.fleet = fleet
        self.member = int(line["member"])
        self._line: Mapping[str, Any] | None = line

    def __repr__(self) -> str:
        return f"MemberRun({str(self.path)!r}, {self.member})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemberRun) and (self.path, self.member) == (other.path, other.member)

    def __hash__(self) -> int:
        return hash((self.path, self.member))

    @property
    def meta(self) -> dict[str, Any]:
        """The fleet's fields of run.json with this member's own in their place."""
        if self._meta is None:
            if self._line is None:
                self._line = read(self.fleet)[self.member]
            self._meta = _merged(self.fleet, self._line)
        return self._meta

    @property
    def line(self) -> Mapping[str, Any]:
        """The member's line of members.jsonl."""
        if self._line is None:
            self._line = read(self.fleet)[self.member]
        return self._line

    def reload(self) -> MemberRun:
        """Forgets what was read of the member and its fleet. Returns the member itself."""
        self.fleet.reload()
        self._meta = self._line = None
        return self

    def update(self, **fields: Any) -> None:
        """Keeps an evaluation in the member's line; nothing else of a member is written alone."""
        if set(fields) != {"evaluation"}:
            self._refuse()
        keep_evaluations(self.fleet, {self.member: fields["evaluation"]})
        self.reload()

    def metrics(self) -> list[dict[str, Any]]:
        """The member's lines of metrics.jsonl."""
        lines = jsonl.read(self._log("metrics"), only=f'"member": {self.member},').records
        return [line for line in lines if line.get("member") == self.member]

    def probes(self) -> list[dict[str, Any]]:
        """Members have no probes of their own."""
        return []

    def note(self, text: str) -> None:
        """Adds a remark to the fleet's notes that names the member."""
        self.fleet.note(f"#{self.member}: {text}" if text.strip() else text)

    def append(self, log: LogName, records: Iterable[Mapping[str, Any]]) -> None:
        """Refused: the fleet writes its logs."""
        self._refuse()

    def truncate(self, log: LogName, *, after_step: int) -> None:
        """Refused: the fleet writes its logs."""
        self._refuse()

    def delete(self, *, own: bool = False) -> None:
        """Refused: members leave with their fleet."""
        self._refuse()

    def save_source(self, name: str, text: str) -> None:
        """Refused: the fleet keeps the source."""
        self._refuse()

    @contextmanager
    def lock(self) -> Any:
        """Refused: members are trained together."""
        self._refuse()
        yield

    def _epoch_lines(self) -> list[dict[str, Any]]:
        return self.metrics()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"{self.id} is one member of a fleet: that can only be done with all of it.",
            hint=f"Name the fleet: {self.fleet.id}",
        )


def lines_for(members: Iterable[tuple[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lines of a new fleet's members.jsonl.

    Args:
        members: for each its seed and what of the fleet's settings it changes (values by dotted key).
    """
    return [
        {
            "member": number,
            "seed": seed,
            "patch": dict(patch),
            "status": "running",
            "steps": 0,
            "epochs": 0,
            "reached": None,
            "final": {},
        }
        for number, (seed, patch) in enumerate(members)
    ]


def encode(line: Mapping[str, Any]) -> bytes:
    """A line of members.jsonl."""
    return strict_json.encode(dict(line)) + b"\n"


def read(fleet: Run) -> list[dict[str, Any]]:
    """The lines of a fleet's members.jsonl, in order.

    Raises:
        EpochalError: the run is no fleet, or the file is missing or spoilt; names what is wrong with it.
    """
    if not fleet.members:
        raise EpochalError(
            f"{fleet.id} is no fleet: it has no members.", hint="Name it without @ or # and a number."
        )
    log = jsonl.read(fleet.path / NAME)
    wrong = _wrong(fleet, log)
    if wrong:
        raise EpochalError(
            f"the fleet in {fleet.path} cannot be read: its {NAME} {wrong}.",
            hint="`epochal resume` writes it anew where the training was not finished; else restore a copy.",
        )
    return log.records


def parse(fleet: Run, data: bytes, checkpoint: Path) -> list[dict[str, Any]]:
    """The lines of a fleet's members as a checkpoint keeps them.

    Raises:
        EpochalError: they are spoilt, or another fleet's; names what is wrong with them.
    """
    log = jsonl.parse(data)
    wrong = _wrong(fleet, log)
    if wrong:
        raise EpochalError(
            f"the checkpoint {checkpoint} is not the fleet's: its table of members {wrong}.",
            hint="Restore a copy of it.",
        )
    return log.records


def _wrong(fleet: Run, log: jsonl.Log) -> str:
    """What is wrong with a table of members, in words; empty when nothing is."""
    if log.garbage:
        return f"has lines that are no JSON objects ({log.garbage[0]})"
    if log.torn or len(log.records) != fleet.members:
        return f"has {len(log.records):,} members where {fleet.members:,} are expected"
    for number, line in enumerate(log.records):
        fault = _fault(number, line)
        if fault is not None:
            return f"has {fault} in line {number + 1}"
    return ""


def write(fleet: Run, lines: Sequence[bytes]) -> None:
    """Replaces members.jsonl, whole or not at all; evaluations of members that made no step since stay.

    Args:
        fleet: the run.
        lines: one a member, as `encode` gives them.
    """
    with fleet.writing():
        kept = _evaluations(fleet.path)
        merged = list(lines)
        for number, (steps, evaluation) in kept.items():
            if number < len(merged):
                line = strict_json.restore(_parsed(merged[number]))
                if line.get("steps") == steps:
                    merged[number] = encode({**line, "evaluation": evaluation})
        atomic.write_bytes(fleet.path / NAME, b"".join(merged))


def keep_evaluations(fleet: Run, measured: Mapping[int, Mapping[str, Any]]) -> None:
    """Puts what `evaluate` measured into members' lines, by member.

    Raises:
        EpochalError: members.jsonl cannot be read, or the disk refuses; it is as it was.
    """
    with fleet.writing():
        lines = read(fleet)
        for number, evaluation in measured.items():
            lines[number]["evaluation"] = dict(evaluation)
        atomic.write_bytes(fleet.path / NAME, b"".join(map(encode, lines)))


def of(fleet: Run) -> list[MemberRun]:
    """All members of a fleet, in order.

    Raises:
        EpochalError: see `read`.
    """
    return [MemberRun(fleet, line) for line in read(fleet)]


def one(fleet: Run, number: int) -> MemberRun:
    """The member of that number (`FLEET#12`).

    Raises:
        UsageError: the run is no fleet or has no such member.
    """
    _insist(fleet)
    if not 0 <= number < fleet.members:
        raise UsageError(
            f"{fleet.id} has no member {number}.", hint=f"Its members are #0 to #{fleet.members - 1}."
        )
    return MemberRun(fleet, read(fleet)[number])


def of_seed(fleet: Run, seed: int) -> list[MemberRun]:
    """The members of one seed (`FLEET@3`), at least one.

    Raises:
        UsageError: the run is no fleet or has no such seed.
    """
    _insist(fleet)
    found = [MemberRun(fleet, line) for line in read(fleet) if line["seed"] == seed]
    if not found:
        raise UsageError(f"{fleet.id} has no member of seed {seed}.", hint=f"Its seeds: {seeds_text(fleet)}.")
    return found


def only(found: Sequence[MemberRun], ref: str) -> MemberRun:
    """The one member among those found.

    Raises:
        UsageError: there are several; lists them with what differs.
    """
    if len(found) == 1:
        return found[0]
    shown = [f"{each.id} ({patch_text(each.line['patch']) or 'no change'})" for each in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise UsageError(f"{ref!r} fits {len(found)} members.", hint=f"Name one: {', '.join(shown)}{more}")


def patch_text(patch: Mapping[str, Any]) -> str:
    """What a member changes, for people: `optim.lr = 0.1`."""
    from epochal.settings.check import shown

    return ", ".join(f"{key} = {shown(value)}" for key, value in patch.items())


def varied(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What members make of the settings that they change: their values by dotted key, in order of appearance.

    Args:
        lines: lines of members.jsonl.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        for key, value in line["patch"].items():
            found.setdefault(key, {}).setdefault(repr(value), value)
    return {key: list(values.values()) for key, values in found.items()}


def varied_text(values: Sequence[Any], words: str = "varied: {values}") -> str:
    """The value of a setting that members change, for people: `varied: 0.5, 0.1`; one that all share as it is."""
    from epochal.settings.check import shown

    if len(values) == 1:
        return shown(values[0])
    told = ", ".join(map(shown, values[:_VALUES_SHOWN]))
    more = f", … ({len(values):,})" if len(values) > _VALUES_SHOWN else ""
    return words.format(values=told + more)


def seeds_text(fleet: Run) -> str:
    """A fleet's seeds for people: `0–999`, or the one seed of a grid."""
    seeds = [seed for seed in fleet.meta["seeds_of"] if isinstance(seed, int)] or [fleet.seed]
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}–{ordered[-1]}"
    return ", ".join(map(str, ordered))


def _insist(fleet: Run) -> None:
    if isinstance(fleet, MemberRun) or not fleet.members:
        raise UsageError(
            f"{fleet.id} is no fleet: it has no members.", hint="Name it without @ or # and a number."
        )


def _fault(number: int, line: Mapping[str, Any]) -> str | None:
    """What is wrong with a line, in words."""
    if type(line.get("member")) is not int or line["member"] != number:
        return f"member = {line.get('member')!r}, not {number}"
    for name, kinds in _KINDS.items():
        value = line.get(name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            return f"{name} = {str(value)[:60]!r}"
        if isinstance(value, int) and not abs(value) < 2**63:
            return f"{name}, a number too large,"
    if line["status"] not in STATUSES:
        return f"status = {line['status'][:60]!r}"
    evaluation = line.get("evaluation", {})
    if not isinstance(evaluation, dict) or not all(isinstance(v, dict) for v in evaluation.values()):
        return "an evaluation that is no numbers by split"
    for values in (line["final"], *evaluation.values()):
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                return f"{name[:60]!r} = {str(value)[:60]!r} among its numbers"
            if isinstance(value, int) and not abs(value) < 2**63:
                return f"{name[:60]!r}, a number too large,"
    return None


def _merged(fleet: Run, line: Mapping[str, Any]) -> dict[str, Any]:
    meta = fleet.meta
    own: dict[str, Any] = {
        "id": f"{meta['id']}#{line['member']}",
        "seed": line["seed"],
        "members": 0,
        "settings": _changed(meta["settings"], line["patch"]),
        "patch": _patch(meta, line["patch"]),
        "status": meta["status"] if line["status"] == "running" else line["status"],
        "reason": line.get("reason") or (meta["reason"] if line["status"] == "running" else None),
        "steps_done": line["steps"],
        "epochs_done": line["epochs"],
        "final": dict(line["final"]),
        "evaluation": dict(line.get("evaluation") or {}),
    }
    if isinstance(line.get("loss_definition"), dict):
        own["loss_definition"] = {str(k): str(v) for k, v in line["loss_definition"].items()}
    return {**meta, **own}


def _changed(nested: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with values by dotted key in their place."""
    changed: dict[str, Any] = dict(nested)
    for key, value in patch.items():
        *groups, last = key.split(".")
        inner = changed
        for name in groups:
            old = inner.get(name)
            inner[name] = dict(old) if isinstance(old, dict) else {}
            inner = inner[name]
        inner[last] = value
    return changed


def _patch(meta: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs from the version's parent: the fleet's changes, then the member's."""
    pairs = {key: list(pair) for key, pair in meta["patch"].items()}
    used = settings.flatten(meta["settings"])
    for key, value in patch.items():
        pairs[key] = [pairs[key][0] if key in pairs else used.get(key), value]
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _evaluations(folder: Path) -> dict[int, tuple[Any, Any]]:
    """Evaluations that stand in members.jsonl by member, each with the steps it was measured after."""
    found = jsonl.read(folder / NAME, only='"evaluation"').records
    return {
        line["member"]: (line.get("steps"), line["evaluation"])
        for line in found
        if isinstance(line.get("member"), int) and isinstance(line.get("evaluation"), dict)
    }


def _parsed(line: bytes) -> dict[str, Any]:
    import json

    parsed: dict[str, Any] = json.loads(line)
    return parsed
