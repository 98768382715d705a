"""What a run says while it trains: a progress bar on a terminal, plain lines elsewhere, and console.log always."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.journal import atomic

_SHORT_S = 0.3  # epochs that take less have no line each, but
_MOST_LINES = 20  # so many over the whole run, evenly spread,
_SILENT_S = 30.0  # and one whenever nothing was said for so long


class Progress:
    """Speaks of one run: a line an epoch; of epochs that are over in a blink about twenty, and that of the last one.

    Args:
        log: the run's console.log; every line is also appended there.
        show: whether to print at all (to standard error, so that `--json` stays clean).
        epochs: total number of epochs.
        items: items an epoch.
    """

    def __init__(self, log: Path, *, show: bool, epochs: int, items: int) -> None:
        self.log, self.show, self.epochs, self.items = log, show, epochs, items
        self._bar: Any = None
        self._task: Any = None
        self._started = time.perf_counter()
        self._begun = 0
        self._said, self._held = (
            -math.inf,
            "",
        )  # when the last epoch's line was printed; the newest that was not
        if show and sys.stderr.isatty():
            self._open()

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[info]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=self.items, info="")
        self._bar.start()

    def line(self, text: str) -> None:
        """Prints a line and keeps it in console.log.

        Raises:
            EpochalError: the disk refuses console.log.
        """
        atomic.append_bytes(self.log, f"{text}\n".encode("utf-8", "replace"))
        try:
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            elif self.show:
                print(text, file=sys.stderr, flush=True)
        except OSError:  # nobody listens any more (`2>&1 | head`): no reason to stop training
            self.show = False

    def begin(self, epoch: int, done: int) -> None:
        """An epoch begins (or goes on) with `done` items behind it."""
        self._started, self._begun = time.perf_counter(), done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"epoch {epoch}/{self.epochs}", info="")

    def advance(self, epoch: int, done: int, values: Mapping[str, float]) -> None:
        """Shows the newest means of the loss and its parts, items a second and the time left."""
        if self._bar is None:
            return
        rate = self.rate(done)
        left = (self.items - done + (self.epochs - epoch) * self.items) / rate if rate else 0.0
        info = f"{_values(values)}  {rate:,.0f} items/s  {_duration(left)} left"
        self._bar.update(self._task, completed=done, info=info)

    def rate(self, done: int) -> float:
        """Items a second since `begin`."""
        return (done - self._begun) / max(time.perf_counter() - self._started, 1e-9)

    def epoch(
        self, epoch: int, done: int, train: Mapping[str, float], validation: Mapping[str, float]
    ) -> None:
        """An epoch is done."""
        seconds = time.perf_counter() - self._started
        text = f"epoch {epoch}/{self.epochs}  {_duration(seconds)}  {self.rate(done):,.0f} items/s  {_values(train)}"
        if validation:
            text += f"  |  validation {_values(validation)}"
        self.epoch_line(epoch, text)

    def epoch_line(self, epoch: int, text: str) -> None:
        """Says how an epoch ended: at once, or not at all where epochs are short and it is not the last."""
        now = time.perf_counter()
        spread = epoch in (1, self.epochs) or epoch % math.ceil(self.epochs / _MOST_LINES) == 0
        if spread or now - self._started >= _SHORT_S or now - self._said >= _SILENT_S:
            self.line(text)
            self._said, self._held = now, ""
        else:
            self._held = text

    def close(self) -> None:
        """Says how the last epoch ended, where that was not said yet, and takes the bar away."""
        if self._held:
            self.line(self._held)
            self._held = ""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _values(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
