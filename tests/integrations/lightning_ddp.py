"""Train on two processes with Lightning; each writes what it has come to.

Run as ``python -m tests.integrations.lightning_ddp FOLDER``, in a process that has no threads yet:
Lightning forks it, which saves importing everything twice.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset

from tests.integrations.problem import Losses, make_data, make_optimizer
from tests.integrations.test_lightning import Net, fit


class ParallelNet(Net):
    def configure_optimizers(self) -> Any:
        # Seeds differ: that of the first process must count.
        self.optimizer = make_optimizer(
            self.net.parameters(), seed=3 + self.global_rank, process_group=True
        )
        self.losses = Losses(self.optimizer)
        return self.optimizer

    def train_dataloader(self) -> Any:
        # Lightning's own sampler would shuffle.
        data = make_data()
        return DataLoader(Subset(data, range(self.global_rank, len(data), 2)), batch_size=6)

    def on_train_end(self) -> None:
        torch.save(
            {"model": self.net.state_dict(), "losses": self.losses.values},
            Path(sys.argv[1]) / f"{self.global_rank}.pt",
        )


if __name__ == "__main__":
    fit(ParallelNet(), None, strategy="ddp_fork", devices=2, use_distributed_sampler=False)
