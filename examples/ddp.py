"""Tune in single processes, then train with the best hyperparameters in two, by DDP."""

import tempfile

import torch
import torch.distributed as dist
import torch.nn.functional as F
from cnn import CNN, cnn, load
from torch.nn.parallel import DistributedDataParallel

import ecd_tune as et
from ecd_tune.optim import ECDSep

WORLD = 2


def train(rank, store, params, epochs):
    """Train one replica; each process uses every second example of a batch."""
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=WORLD)
    torch.manual_seed(0)
    model = DistributedDataParallel(CNN())
    optimizer = ECDSep(model.parameters(), **params, seed=0, process_group=True)
    (x, y), _, (x_test, y_test) = (
        (torch.tensor(x, dtype=torch.float32), torch.tensor(y)) for x, y in load()
    )
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(y) // 64 * 64).split(64):  # the same on every rank
            mine = rows[rank::WORLD]
            loss = F.cross_entropy(model(x[mine]), y[mine])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss=loss)  # the optimizer averages over the ranks
    model.eval()
    if rank == 0:
        right = (model.module(x_test).argmax(1) == y_test).float().mean()
        print(f"test accuracy, {WORLD} processes: {right:.3f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    study = et.tune(cnn, ["ecdsep"], trials=6, epochs=4, confirm=0, name="before-ddp")
    best = study.best("ecdsep")
    print(best.as_python())
    with tempfile.TemporaryDirectory() as folder:
        arguments = f"{folder}/store", dict(best.params), 8
        torch.multiprocessing.spawn(train, arguments, nprocs=WORLD)
