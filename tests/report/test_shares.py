"""The figure of the gradient's shares says in its title when a term does nothing, and draws what is meant beside it."""

from __future__ import annotations

from epochal.report.shares import shares_figure

STEPS = (1, 201, 401)


def values(kl: float, *, idle: bool) -> dict[str, list[tuple[int, float]]]:
    """Probes of a distillation whose divergence has this share."""
    found = {
        "gradient_share/network/ce": [(step, 1 - kl) for step in STEPS],
        "gradient_share/network/kl": [(step, kl) for step in STEPS],
        "gradient_meant/network/ce": [(step, 0.3) for step in STEPS],
        "gradient_meant/network/kl": [(step, 0.7) for step in STEPS],
        "gradient_norm/network/kl": [(step, 5.0) for step in STEPS],
    }
    return {**found, **({"gradient_idle/network/kl": [(401, 1.0)]} if idle else {})}


def title(found: dict[str, list[tuple[int, float]]]) -> str:
    """The figure's title."""
    figure = shares_figure(found, across="step", subtitle="a run")
    assert figure is not None
    return next(text.get_text() for text in figure.texts if text.get_gid() == "title")


def test_an_idle_term_stands_in_the_title() -> None:
    """Somebody who only reads the title of the picture finds the fault."""
    assert title(values(0.05, idle=True)) == "Next to nothing in the gradient: divergence from the teacher"
    assert title(values(0.75, idle=False)) == "Which term moves the weights"


def test_shares_and_what_is_meant_are_drawn() -> None:
    """Each term has its curve, and a line at what it was meant to have; lengths are no shares."""
    figure = shares_figure(values(0.05, idle=True), across="step", subtitle="a run")
    assert figure is not None
    (axes,) = figure.axes
    drawn = {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}
    assert drawn["divergence from the teacher"] == [0.05] * 3
    assert {round(float(y), 6) for name, ys in drawn.items() if name.startswith("meant") for y in ys} == {
        0.3,
        0.7,
    }


def test_runs_without_such_probes_have_no_such_figure() -> None:
    """A run that measured nothing of the kind gets no empty axes."""
    assert shares_figure({"grad_norm": [(1, 2.0)]}, across="step", subtitle="") is None
