"""Which terms of the losses moved the weights, over a run: what `training/probes/gradient_share` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.report.history import history_figure
from epochal.report.markdown import listed
from epochal.training.task import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    Points = Sequence[tuple[int, float]]

SHARE, MEANT, IDLE = "gradient_share/", "gradient_meant/", "gradient_idle/"
NAMES = {
    "ce": "cross-entropy",
    "kl": "divergence from the teacher",
    "kl_a": "divergence from teacher A",
    "kl_b": "divergence from teacher B",
    "sp": "similarity",
}
"""What figures call a term; any other goes by its own name."""


def shares_figure(values: Mapping[str, Points], *, across: str, subtitle: str) -> Figure | None:
    """A panel a phase: each term's share of the gradient over steps, and what it was meant to have; None without any.

    Args:
        values: of the probes, by name: "gradient_share/phase/term" → [(step, share), …].
        across: what the x axis counts.
        subtitle: a smaller line below the title.
    """
    measured = [name.removeprefix(SHARE) for name in values if name.startswith(SHARE)]
    panels, idle = [], []
    for phase in dict.fromkeys(name.partition("/")[0] for name in measured):
        terms = [name.partition("/")[2] for name in measured if name.partition("/")[0] == phase]
        last = max(values[f"{SHARE}{phase}/{term}"][-1][0] for term in terms)
        idle += [
            _named(term)
            for term in terms
            if any(step == last for step, _ in values.get(f"{IDLE}{phase}/{term}", ()))
        ]
        meant = {term: values.get(f"{MEANT}{phase}/{term}") for term in terms}
        panels.append(
            Panel(
                "share of the gradient's length",
                {_named(term): f"{SHARE}{phase}/{term}" for term in terms},
                lines={
                    f"meant: {_named(term)}": (points[-1][1],) for term, points in meant.items() if points
                },
                share=True,
            )
        )
    title = f"Next to nothing in the gradient: {listed(idle)}" if idle else "Which term moves the weights"
    return history_figure(panels, values, across=across, title=title, subtitle=subtitle)


def _named(term: str) -> str:
    return NAMES.get(term, term)
