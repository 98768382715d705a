"""Who is trained on, who validates and who tests: people are divided, never their windows.

Windows of one person resemble each other more than those of two: a network that was trained on some of them and is
tested on others recognises the person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from epochal.errors import EpochalError, UsageError
from epochal.systems.data.recordings import UNKNOWN

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

_SHOWN = 10
"""Subjects that a message names."""


def divide(subjects: Iterable[int], *, folds: int, fold: int, seed: int) -> dict[str, tuple[int, ...]]:
    """One division of cross-validation over people.

    The seed shuffles them into `folds` groups that differ by one person at most. Group `fold` tests, the next one
    (after the last the first) validates, all others train; over all `fold` everybody tests once.

    Args:
        subjects: who there is; whoever is named often counts once.
        folds: number of groups, from 3 to the number of subjects.
        fold: from 0 to `folds` - 1.
        seed: of the shuffling.

    Returns:
        Subjects of "train", "validation" and "test", sorted.

    Raises:
        UsageError: a number of folds, or a fold, that is not allowed.
        EpochalError: it is not known of everybody who they are.
    """
    import numpy as np

    people = _known(subjects)
    if not 3 <= folds <= len(people):
        raise UsageError(
            f"{len(people)} subjects cannot be divided into {folds} folds; from 3 folds to one a subject are allowed.",
            hint="Training, validation and test need at least one subject each. "
            + (
                f"Choose --data.folds from 3 to {len(people)}." if len(people) >= 3 else "Record more people."
            ),
        )
    if not 0 <= fold < folds:
        raise UsageError(f"There is no fold {fold}; of {folds} folds the last is {folds - 1}, the first 0.")
    groups = np.array_split(np.random.default_rng(seed).permutation(people), folds)
    validating = (fold + 1) % folds
    training = [
        one for number, group in enumerate(groups) if number not in (fold, validating) for one in group
    ]
    return {
        "train": _sorted(training),
        "validation": _sorted(groups[validating]),
        "test": _sorted(groups[fold]),
    }


def leave_one_out(
    subjects: Iterable[int], subject: int, *, seed: int, validation_share: float = 0.2
) -> dict[str, tuple[int, ...]]:
    """One person tests; of the others some, chosen by the seed, validate, and the rest train.

    Args:
        subjects: who there is, at least three; whoever is named often counts once.
        subject: who tests.
        seed: of the choice of who validates.
        validation_share: of the others, in (0, 1), rounded; at least one validates and at least one trains.

    Returns:
        Subjects of "train", "validation" and "test", sorted.

    Raises:
        UsageError: there is no such subject, fewer than three there are, or a share that is not allowed.
        EpochalError: it is not known of everybody who they are.
    """
    import numpy as np

    people = _known(subjects)
    if subject not in people:
        raise UsageError(
            f"There is no subject {subject} to leave out.", hint=f"There are: {_named(people) or 'none'}."
        )
    if not 0 < validation_share < 1:
        raise UsageError(f"The validation share is {validation_share}; it must be above 0 and below 1.")
    if len(people) < 3:
        raise UsageError(
            f"Leaving one out needs at least 3 subjects, but there are only {_named(people)}.",
            hint="Training, validation and test need at least one subject each.",
        )
    others = np.random.default_rng(seed).permutation([one for one in people if one != subject])
    validating = min(max(1, round(len(others) * validation_share)), len(others) - 1)
    return {
        "train": _sorted(others[validating:]),
        "validation": _sorted(others[:validating]),
        "test": (subject,),
    }


def insist_disjoint(splits: Mapping[str, Array], *, allow_unknown: bool = False) -> None:
    """Refuses splits that share a person.

    Args:
        splits: subjects of each split, as often as they like.
        allow_unknown: of whom nobody says who they are may stand in several splits, as in sets that their publisher
            divided without naming anybody.

    Raises:
        EpochalError: somebody is in two splits, or may be, since nobody says who they are.
    """
    people = {split: set(_sorted(column)) for split, column in splits.items()}
    if not allow_unknown and (unknown := [split for split, who in people.items() if UNKNOWN in who]):
        raise EpochalError(
            f"In {' and '.join(unknown)} it is not known who wore the sensor: nobody can tell whether the same people "
            "train and test.",
            hint="Name a subject for each recording.",
        )
    names = list(people)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if both := sorted((people[one] & people[other]) - {UNKNOWN}):
                raise EpochalError(
                    f"{one} and {other} share {_named(both)}: whoever is known from training tests nothing.",
                    hint="Divide by subject, never by window.",
                )


def rows(subject: Array, chosen: Iterable[int]) -> Array:
    """Which rows of a column of subjects (n,) are of somebody who was chosen: (n,) bool."""
    import numpy as np

    mask: Array = np.isin(subject, list(chosen))
    return mask


def _known(subjects: Iterable[int]) -> list[int]:
    people = list(_sorted(subjects))
    if UNKNOWN in people:
        raise EpochalError(
            "It is not known of all recordings who wore the sensor: they cannot be divided by subject.",
            hint="Name a subject for each recording.",
        )
    return people


def _sorted(subjects: Iterable[int]) -> tuple[int, ...]:
    import numpy as np

    column = subjects if isinstance(subjects, np.ndarray) else np.asarray(list(subjects), np.int64)
    return tuple(np.unique(column).tolist())


def _named(people: list[int]) -> str:
    """The subjects in words, not more than a line of them."""
    shown = ", ".join(map(str, people[:_SHOWN]))
    more = f" and {len(people) - _SHOWN} more" if len(people) > _SHOWN else ""
    return f"subject{'s' * (len(people) > 1)} {shown}{more}" if people else ""
