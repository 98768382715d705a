"""Dotted command-line options: what they set, and what is said when they are wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from epochal.errors import UsageError
from epochal.settings import Interval, options
from epochal.settings.common import RecipeSettings


@dataclass(frozen=True)
class Optim:
    """Optimiser."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Learning rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the moments."""
    kind: Literal["adam", "sgd"] = "adam"
    """Which one."""
    fused: bool = True
    """One kernel for all."""


@dataclass(frozen=True)
class Example(RecipeSettings):
    """An example recipe."""

    optim: Optim = field(default_factory=Optim)
    widths: tuple[int, ...] = (8, 16)
    """Width of each layer."""


@pytest.mark.parametrize(
    ("typed", "patch"),
    [
        ("--epochs 4", {"epochs": 4}),
        ("--epochs=4", {"epochs": 4}),
        ("--optim.lr 2e-4 --data.limit 256", {"optim.lr": 2e-4, "data.limit": 256}),
        ("--optim.betas 0.5 0.9", {"optim.betas": (0.5, 0.9)}),
        ("--widths 1 2 3 --optim.kind sgd", {"widths": (1, 2, 3), "optim.kind": "sgd"}),
        ("--optim.no-fused", {"optim.fused": False}),
        ("--batch_size 7", {"batch_size": 7}),
        ("--data.dir /tmp/x", {"data.dir": "/tmp/x"}),
        ("--steps none --epochs 1", {"steps": None, "epochs": 1}),
        ("", {}),
    ],
)
def test_options_are_a_patch(typed: str, patch: dict[str, Any]) -> None:
    """Exactly what was named is set, with the setting's own type, even where it is the default."""
    assert options.parse(Example(), typed.split()) == patch


@pytest.mark.parametrize(
    ("typed", "what", "hint"),
    [
        ("--optim.rl 1", "There is no setting 'optim.rl'.", "Did you mean optim.lr?"),
        ("--lr 1", "There is no setting 'lr'.", "Did you mean optim.lr?"),
        ("--epochs x", "epochs = x is not allowed.", "epochs must be a whole number >= 1."),
        ("--epochs 0", "epochs = 0 is not allowed (out of range).", "epochs must be a whole number >= 1."),
        ("--epochs", "--epochs needs a value.", "epochs must be a whole number >= 1."),
        ("--optim.kind rms", "optim.kind = rms is not allowed.", "optim.kind must be one of adam, sgd."),
        ("--optim.lr nan", "optim.lr = nan is not allowed (not finite).", "optim.lr must be a number > 0."),
        (
            "--optim.betas 1",
            "optim.betas = [1] is not allowed (1 items).",
            "optim.betas must be a list of 2: a number; a number.",
        ),
        (
            "--epochs 3 4",
            "Did not expect '4'.",
            "Write settings as --name VALUE; a switch takes none.",
        ),
    ],
)
def test_a_wrong_option_is_explained_in_one_message(
    typed: str, what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our words only: nothing of the parsing library reaches the terminal."""
    with pytest.raises(UsageError) as caught:
        options.parse(Example(), typed.split())
    assert (caught.value.what, caught.value.hint) == (what, hint)
    assert capsys.readouterr() == ("", "")


def test_a_broken_rule_between_options_is_told() -> None:
    """Each option is allowed, both together are not: the rule's own sentence, not that nothing could be read."""

    @dataclass(frozen=True)
    class Ordered:
        low: float = 0.0
        high: float = 1.0
        strict: bool = True

        def __post_init__(self) -> None:
            if self.low > self.high and self.strict:
                raise ValueError(f"low = {self.low:g} lies above high = {self.high:g}.")

    with pytest.raises(UsageError) as caught:
        options.parse(Ordered(strict=False), ["--low", "2", "--high=1.5", "--strict"])
    assert caught.value.what == "low = 2 lies above high = 1.5."
    assert options.parse(Ordered(), ["--low", "2", "--no-strict"]) == {"low": 2.0, "strict": False}


def test_help_shows_docstrings_and_values_in_force() -> None:
    """The line under each field is its help, and the default shown is the version's own value."""
    text = options.help_text(Example(epochs=40), prog="epochal run example")
    assert "usage: epochal run example" in text
    assert "--optim.lr" in text and "Learning rate. (default: 0.001)" in text
    assert "(default: 40)" in text
