"""Divisions by subject: nobody is on two sides, everybody tests once, and whoever is unknown is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import subjects

people = st.sets(st.integers(0, 5000), min_size=3, max_size=40)
seeds = st.integers(0, 2**32)


@given(who=people, seed=seeds, data=st.data())
def test_folds_are_a_partition_in_which_everybody_tests_once(
    who: set[int], seed: int, data: st.DataObject
) -> None:
    """In each fold all are placed once; over the folds each tests once and validates once; groups are as equal as can
    be."""
    folds = data.draw(st.integers(3, len(who)))
    divided = [subjects.divide(who, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    for one in divided:
        assert sorted(sum(one.values(), ())) == sorted(who) and all(one.values())
        assert all(list(side) == sorted(side) for side in one.values())
        subjects.insist_disjoint({split: np.array(side) for split, side in one.items()})
    for split in ("test", "validation"):
        assert sorted(person for one in divided for person in one[split]) == sorted(who)
    sizes = [len(one["test"]) for one in divided]
    assert max(sizes) - min(sizes) <= 1
    assert [divided[fold]["validation"] for fold in range(folds)] == [
        divided[(fold + 1) % folds]["test"] for fold in range(folds)
    ]


@given(who=people, seed=seeds)
def test_a_division_depends_on_who_there_is_and_the_seed_alone(who: set[int], seed: int) -> None:
    """Order and repetition of the column do not matter; the column itself may be given."""
    column = np.array([*sorted(who, reverse=True), *who], np.int32)
    assert subjects.divide(column, folds=3, fold=1, seed=seed) == subjects.divide(
        who, folds=3, fold=1, seed=seed
    )
    alone = subjects.leave_one_out(column, int(column[0]), seed=seed)
    assert alone == subjects.leave_one_out(who, int(column[0]), seed=seed)


def test_another_seed_divides_otherwise() -> None:
    """Paired seeds must see different people: of 30, two seeds never test the same ten here."""
    first, second = (subjects.divide(range(30), folds=3, fold=0, seed=seed)["test"] for seed in (1, 2))
    assert first != second


@given(who=people, seed=seeds, share=st.floats(0.01, 0.99))
def test_leaving_one_out(who: set[int], seed: int, share: float) -> None:
    """One tests, of the others about the share validates, at least one, and at least one trains."""
    out = min(who)
    divided = subjects.leave_one_out(who, out, seed=seed, validation_share=share)
    assert divided["test"] == (out,) and sorted(sum(divided.values(), ())) == sorted(who)
    validating = len(divided["validation"])
    assert divided["train"] and validating >= 1
    assert abs(validating - share * (len(who) - 1)) <= 1


def test_a_fifth_validates_by_default() -> None:
    """Of the other eight of PAMAP2, two validate."""
    divided = subjects.leave_one_out(range(101, 110), 105, seed=0)
    assert len(divided["validation"]) == 2 and len(divided["train"]) == 6


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (0, 0), (6, 0), (5, 5), (5, -1)])
def test_folds_that_cannot_be_made(folds: int, fold: int) -> None:
    """Fewer than three, more than there are people, or a fold that is none of them."""
    with pytest.raises(UsageError, match=rf"into {folds} folds|no fold {fold}"):
        subjects.divide(range(5), folds=folds, fold=fold, seed=0)


def test_who_cannot_be_left_out() -> None:
    """Somebody who is not there, of too few, or with a share out of range."""
    with pytest.raises(UsageError, match="no subject 9 to leave out") as error:
        subjects.leave_one_out([1, 2, 3], 9, seed=0)
    assert "subjects 1, 2, 3" in str(error.value)
    with pytest.raises(UsageError, match="at least 3 subjects, but there are only subjects 1, 2"):
        subjects.leave_one_out([1, 2], 1, seed=0)
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(UsageError, match="validation share is"):
            subjects.leave_one_out([1, 2, 3], 1, seed=0, validation_share=share)


def test_whoever_is_unknown_is_not_divided() -> None:
    """Nobody can tell who -1 is: neither function divides them."""
    with pytest.raises(EpochalError, match="not known of all recordings"):
        subjects.divide([1, 2, 3, -1], folds=3, fold=0, seed=0)
    with pytest.raises(EpochalError, match="not known of all recordings"):
        subjects.leave_one_out([1, 2, 3, -1], 1, seed=0)


@given(
    train=st.lists(st.integers(-1, 30), max_size=20),
    test=st.lists(st.integers(-1, 30), max_size=20),
    allow=st.booleans(),
)
def test_shared_people_are_refused(train: list[int], test: list[int], allow: bool) -> None:
    """An error exactly where somebody is on both sides, or may be."""
    columns = {"train": np.array(train, np.int32), "test": np.array(test, np.int32)}
    shared = (set(train) & set(test)) - {-1}
    if shared or (not allow and -1 in train + test):
        with pytest.raises(EpochalError):
            subjects.insist_disjoint(columns, allow_unknown=allow)
    else:
        subjects.insist_disjoint(columns, allow_unknown=allow)


def test_shared_people_are_named() -> None:
    """The message says who, at most ten of them, and on which two sides."""
    columns = {"train": np.arange(40), "validation": np.array([50]), "test": np.array([50, 60])}
    with pytest.raises(EpochalError, match="validation and test share subject 50: whoever is known"):
        subjects.insist_disjoint(columns)
    columns["test"] = np.arange(5, 20)
    with pytest.raises(EpochalError, match=r"train and test share subjects 5, 6, 7, .*, 14 and 5 more"):
        subjects.insist_disjoint(columns)
    with pytest.raises(EpochalError, match="In train and test it is not known who wore the sensor"):
        subjects.insist_disjoint(
            {"train": np.array([-1]), "validation": np.array([2]), "test": np.array([-1])}
        )


def test_rows_of_the_chosen() -> None:
    """The mask of a column; of nobody it is empty."""
    column = np.array([3, 1, 3, 2], np.int32)
    assert subjects.rows(column, (3, 2)).tolist() == [True, False, True, True]
    assert subjects.rows(column, ()).tolist() == [False] * 4
