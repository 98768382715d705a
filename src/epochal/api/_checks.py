"""What can be refused before a run is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal.errors import UsageError

if TYPE_CHECKING:
    from epochal.training.task import Recipe

PRECISIONS = ("auto", "float32", "bfloat16")
_LARGEST_SEED = 2**63 - 1  # what databases and other programs hold in an integer
_MOST_SEEDS = 10_000
LONGEST_NAME = 100


def check_call(
    recipe: Recipe,
    settings: Any,
    *,
    seed: int,
    seeds: int,
    device: str,
    precision: str,
    threads: int | None = None,
) -> None:
    """Refuses what can be refused before a run is made."""
    for name, value, least, most in (
        ("seeds", seeds, 1, _MOST_SEEDS),
        ("seed", seed, 0, _LARGEST_SEED - _MOST_SEEDS),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UsageError(
                f"{name} = {value} is not allowed.",
                hint=f"{name} must be a whole number from {least} to {most}.",
            )
    if threads is not None and threads < 1:
        raise UsageError(f"threads = {threads} is too few.", hint="Give at least 1.")
    if precision not in PRECISIONS:
        raise UsageError(f"Unknown precision {precision!r}.", hint=f"Choose one of {', '.join(PRECISIONS)}.")
    from epochal.systems import data
    from epochal.training import devices

    devices.resolve(device)
    # A recipe with data of its own names its own sources; only those of ours can be checked here.
    ours = {"auto", *(source.name for source in data.sources())}
    if recipe.settings().data.source in ours:
        data.check(settings.data.source, settings.data.dir)


def check_name(name: str | None) -> None:
    """Refuses a name by which a run could not be found again."""
    if name is None:
        return
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"A run's name of {len(name):,} characters is too long.", hint="A note has room: --note."
        )
    if not name.strip() or not name.isprintable() or any(char in name for char in ":@/\\"):
        raise UsageError(
            f"{name!r} is no name for a run.", hint="Use letters, digits, spaces and dashes; no : @ / or \\."
        )
