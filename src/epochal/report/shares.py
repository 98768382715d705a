"""Which terms of the losses moved the weights, over a run: what `training/probes/gradient_share` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.report.history import history_figure
from epochal.report.markdown import listed
from epochal.training.task import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

MEASURED = "gradient_share/"
NEGLIGIBLE = 0.01
"""Below this share a term is in the loss by name only; the figure has a line there."""
NAMES = {
    "ce": "cross-entropy",
    "kl": "divergence from the teacher",
    "kl_a": "divergence from teacher A",
    "kl_b": "divergence from teacher B",
    "sp": "similarity",
}
"""What figures call a term; any other goes by its own name."""


def shares_figure(
    values: Mapping[str, Sequence[tuple[int, float]]], *, across: str, subtitle: str
) -> Figure | None:
    """A panel a phase: each term's share of the gradient over steps; None where none was measured.

    Args:
        values: of the probes, by name: "gradient_share/phase/term" → [(step, share), …].
        across: what the x axis counts.
        subtitle: a smaller line below the title.
    """
    terms = [name for name in values if name.startswith(MEASURED)]
    panels, idle = [], []
    for phase in dict.fromkeys(name.split("/")[1] for name in terms):
        own = {name.rsplit("/", 1)[1]: name for name in terms if name.split("/")[1] == phase}
        idle += [NAMES.get(term, term) for term, name in own.items() if values[name][-1][1] < NEGLIGIBLE]
        panels.append(
            Panel(
                "share of the gradient's length",
                {NAMES.get(term, term): name for term, name in own.items()},
                lines={"negligible (1 %)": (NEGLIGIBLE,)},
            )
        )
    title = f"Next to nothing in the gradient: {listed(idle)}" if idle else "Which term moves the weights"
    return history_figure(panels, values, across=across, title=title, subtitle=subtitle)
