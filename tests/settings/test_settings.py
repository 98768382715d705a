"""Settings as values: validation, patches, differences, and their way to JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from epochal import settings
from epochal.errors import EpochalError, UsageError
from epochal.settings import Interval
from epochal.settings.common import MOST_EPOCHS, DataSettings, RecipeSettings

# A busy machine is no fault of the code.
unhurried = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Loss:
    """Every kind of setting at once."""

    weight: Annotated[float, Interval(0, 1)] = 0.0
    """A number in a closed interval."""
    kind: Literal["sum", "mean"] = "sum"
    """A choice."""
    betas: tuple[float, float] = (0.9, 0.999)
    """A pair."""
    widths: tuple[int, ...] = (32, 64)
    """A list."""
    fast: bool = False
    """A switch."""


@dataclass(frozen=True)
class Example(RecipeSettings):
    """A recipe's settings."""

    epochs: Annotated[int, Interval(1)] = 8
    loss: Loss = field(default_factory=Loss)


finite = st.floats(allow_nan=False, allow_infinity=False)
losses = st.builds(
    Loss,
    weight=st.floats(0, 1),
    kind=st.sampled_from(["sum", "mean"]),
    betas=st.tuples(finite, finite),
    widths=st.lists(st.integers()).map(tuple),
    fast=st.booleans(),
)
examples = st.builds(
    Example,
    epochs=st.integers(1, MOST_EPOCHS),
    steps=st.none() | st.integers(1),
    clip_grad_norm=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    data=st.builds(
        DataSettings, source=st.text(), dir=st.none() | st.text(), limit=st.none() | st.integers(1)
    ),
    loss=losses,
)


@unhurried
@given(examples, examples)
def test_a_difference_leads_from_one_to_the_other(old: Example, new: Example) -> None:
    """Forks rely on it: the parent with the recorded changes is the child."""
    assert settings.apply(old, settings.new_values(settings.diff(old, new))) == new
    assert settings.diff(old, old) == {}


@unhurried
@given(examples)
def test_settings_survive_json(value: Example) -> None:
    """A run's saved settings start the same run again."""
    saved = json.loads(json.dumps(settings.to_dict(value)))
    assert settings.from_dict(Example, saved) == value
    assert settings.diff(value, saved) == {}


@unhurried
@given(examples)
def test_flat_keys_name_every_value(value: Example) -> None:
    """A full patch over the defaults gives the settings back, so no key is lost or doubled."""
    assert settings.apply(Example(), settings.flatten(value)) == value


@unhurried
@given(examples, examples)
def test_described_changes_name_key_and_values(old: Example, new: Example) -> None:
    """The log's reader sees what changed: one line a changed key, in the form `key: old → new`."""
    lines = settings.describe(settings.diff(old, new))
    assert [line.split(":")[0] for line in lines] == list(settings.diff(old, new))
    assert all(" → " in line for line in lines)


def test_change_is_written_as_people_write_it() -> None:
    """The form that the design fixes, with 0 for 0.0 and none for None."""
    new = replace(
        Example(), data=DataSettings(limit=256), loss=Loss(weight=0.32, fast=True, betas=(0.5, 0.999))
    )
    assert settings.describe(settings.diff(Example(), new)) == [
        "data.limit: none → 256",
        "loss.weight: 0 → 0.32",
        "loss.betas: [0.9, 0.999] → [0.5, 0.999]",
        "loss.fast: false → true",
    ]


@unhurried
@given(st.one_of(finite, st.integers(), st.text(), st.none(), st.booleans(), st.lists(st.integers())))
def test_any_value_is_stored_in_range_or_refused_with_its_name(value: Any) -> None:
    """Fuzzed values never crash and never slip past the interval."""
    try:
        stored = settings.apply(Example(), {"loss.weight": value}).loss.weight
    except UsageError as problem:
        assert problem.exit_code == 2 and problem.what.startswith("loss.weight = ")
        assert problem.hint == "loss.weight must be a number from 0 to 1."
    else:
        assert type(stored) is float and 0 <= stored <= 1


@pytest.mark.parametrize(
    ("key", "value", "stored"),
    [
        ("epochs", "12", 12),
        ("epochs", 12.0, 12),
        ("loss.weight", "2e-4", 2e-4),
        ("loss.weight", 1, 1.0),
        ("loss.kind", "mean", "mean"),
        ("loss.betas", "0.5, 0.9", (0.5, 0.9)),
        ("loss.widths", [1, 2, 3], (1, 2, 3)),
        ("loss.fast", "true", True),
        ("loss.fast", "off", False),
        ("data.limit", "none", None),
        ("data.dir", "none", "none"),
        ("batch-size", 4, 4),
    ],
)
def test_text_and_json_values_are_read_alike(key: str, value: Any, stored: Any) -> None:
    """Files, options and Python calls go through one validator."""
    flat = settings.flatten(settings.apply(Example(), {key: value}))
    assert flat[key.replace("-", "_")] == stored
    assert type(flat[key.replace("-", "_")]) is type(stored)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("epochs", 0, "a whole number >= 1"),
        ("epochs", 2.5, "a whole number >= 1"),
        ("epochs", True, "a whole number >= 1"),
        ("epochs", None, "a whole number >= 1"),
        ("loss.weight", math.nan, "a number from 0 to 1"),
        ("loss.weight", "inf", "a number from 0 to 1"),
        ("loss.weight", 10**400, "a number from 0 to 1"),
        ("loss.kind", "avg", "one of sum, mean"),
        ("loss.betas", [0.9], "a list of 2: a number; a number"),
        ("loss.widths", 3, "a list, each item a whole number"),
        ("loss.fast", 1, "true or false"),
        ("data.limit", 0, "a whole number >= 1, or none"),
        ("clip_grad_norm", 0, "a number > 0, or none"),
        ("data.source", 3, "text"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    """One clear message: key, value, what is allowed."""
    with pytest.raises(UsageError) as caught:
        settings.apply(Example(), {key: value})
    assert caught.value.what.startswith(f"{key} = ")
    assert caught.value.hint == f"{key} must be {allowed}."


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("loss.wieght", "Did you mean loss.weight?"),
        ("weight", "Did you mean loss.weight?"),
        ("epoch", "Did you mean epochs?"),
        ("batch_sizes", "Did you mean batch_size?"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(typed: str, hint: str) -> None:
    """Also when only the group was left out."""
    with pytest.raises(UsageError) as caught:
        settings.apply(Example(), {typed: 1})
    assert repr(typed) in caught.value.what
    assert caught.value.hint == hint


def test_without_a_near_name_all_settings_are_listed() -> None:
    """So that the user need not look them up."""
    with pytest.raises(UsageError, match=r"Settings: epochs, steps, .*loss.fast"):
        settings.apply(Example(), {"quux": 1})


def test_a_group_is_not_a_setting() -> None:
    """`loss = 3` is answered with the settings inside the group."""
    with pytest.raises(UsageError, match=r"group of settings.*\n.*loss\.weight"):
        settings.apply(Example(), {"loss": 3})


def test_nested_patches_mean_the_same_as_dotted_ones() -> None:
    """TOML tables are nested, options are dotted."""
    nested = settings.apply(Example(), {"loss": {"weight": 0.5}, "epochs": 3})
    assert nested == settings.apply(Example(), {"loss.weight": 0.5, "epochs": 3})


def test_a_rule_between_settings_is_a_usage_error() -> None:
    """A recipe's `__post_init__` may refuse a combination; the user sees its sentence, no traceback."""

    @dataclass(frozen=True)
    class Ordered:
        low: float = 0.0
        high: float = 1.0

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError(f"`low <= high` must hold, but got (low={self.low:g}, high={self.high:g}).")

    with pytest.raises(UsageError, match=r"low=2, high=1"):
        settings.apply(Ordered(), {"low": 2})
    assert settings.apply(Ordered(), {"low": 2, "high": 3}) == Ordered(2.0, 3.0)


def test_a_field_that_cannot_be_a_setting_names_itself() -> None:
    """The author of a recipe learns which field is wrong and what is possible."""

    @dataclass(frozen=True)
    class Wrong:
        table: dict[str, int] = field(default_factory=dict)

    with pytest.raises(EpochalError, match=r"Wrong\.table"):
        settings.apply(Wrong(), {"table": 1})


def test_a_missing_value_without_default_is_named() -> None:
    """A run file that lacks a required setting is refused by name."""

    @dataclass(frozen=True)
    class Needs:
        path: str

    with pytest.raises(UsageError, match="'path'"):
        settings.from_dict(Needs, {})


def test_epochs_are_bounded_whatever_a_recipe_annotates() -> None:
    """A recipe that gives `epochs` another default would lose a bound of the annotation."""
    assert settings.apply(Example(), {"epochs": MOST_EPOCHS}).epochs == MOST_EPOCHS
    with pytest.raises(UsageError, match="epochs = 1,000,000,001 is not allowed: 1,000,000,000 are the most"):
        settings.apply(Example(), {"epochs": MOST_EPOCHS + 1})
