"""cvae-digits, version model-2, as a PyTorch Lightning module: the same network and loss as the plain loop.

    python benchmarks/lightning_cvae.py --steps 1875

Everything that costs time beside training is off: no logger, no checkpoints, no progress bar, no validation.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from typing import Any

import lightning as L
import torch
from plain_pytorch_cvae import BATCH, CVAE, load, optimiser_of
from torch import Tensor

warnings.filterwarnings("ignore", module="lightning")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Module(L.LightningModule):
    """The C-VAE as Lightning wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = CVAE()
        self.total = torch.zeros(())

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """One batch's loss."""
        loss = self.model.loss(*batch)
        self.total += loss.detach()
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with its schedule, advanced every step."""
        adam, schedule = optimiser_of(self.model)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Clock(L.Callback):
    """Times from a block's first batch to its last: `fit` itself has costs that no long training feels."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.end = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Starts at the first batch only."""
        if self.start is None:
            self.start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Moves the end."""
        self.end = time.perf_counter()


class Side:
    """This program as `epochal bench speed` drives it: blocks of steps that time themselves."""

    def __init__(self, source: str, limit: int | None, seed: int) -> None:
        torch.manual_seed(seed)
        images, conditions, self.data = load(source, limit)
        self.items = len(images)
        dataset = torch.utils.data.TensorDataset(images, conditions)
        self.loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
        self.module, self.clock = Module(), Clock()
        self.trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=-1,
            max_steps=0,
            callbacks=[self.clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def run(self, steps: int) -> tuple[float, float]:
        """Trains for `steps` steps; returns the seconds they took and the mean loss over them."""
        self.clock.start = None
        self.module.total.zero_()
        self.trainer.fit_loop.epoch_loop.max_steps += steps
        self.trainer.fit(self.module, self.loader)
        return self.clock.end - (self.clock.start or 0.0), self.module.total.item() / steps


def main() -> None:
    """Trains for a number of steps after a short warm-up and prints the time of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1875)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--source", default="auto")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    side = Side(options.source, options.limit, options.seed)
    side.run(options.warm_up)
    seconds, loss = side.run(options.steps)
    seconds /= options.steps
    if options.json:
        print(
            json.dumps(
                {"side": "lightning", "steps": options.steps, "seconds_per_step": seconds, "loss": loss}
            )
        )
    else:
        print(
            f"{1e3 * seconds:.2f} ms a step, {1875 * seconds:.1f} s an epoch of 60,000; mean loss {loss:.3f}"
        )


if __name__ == "__main__":
    main()
