"""The same network in a training loop of one's own."""

import torch
import torch.nn.functional as F
from cnn import CNN, load

import ecd_tune as et


def tensors(part):
    """Return a part of the data as tensors."""
    x, y = part
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def batches(part, seed):
    """Go through a part of the data in random order."""
    order = torch.randperm(len(part[1]), generator=torch.Generator().manual_seed(seed))
    for rows in order.split(64):
        yield part[0][rows], part[1][rows]


@torch.no_grad()
def accuracy(model, part):
    """Return the share of right answers."""
    model.eval()
    return (model(part[0]).argmax(1) == part[1]).float().mean()


@et.task(metric="accuracy", direction="maximize", epochs=8)
def loop(run):
    """What is kept is saved and restored; an interrupted run begins its epoch again."""
    train, val, test = map(tensors, load())
    model = run.keep(CNN())
    optimizer = run.optimizer(model.parameters())
    for epoch in run.epochs():
        model.train()
        for x, y in batches(train, seed=run.seed_of(epoch)):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss=loss)
        run.report(accuracy(model, val))
    run.test(lambda: accuracy(model, test))


if __name__ == "__main__":
    study = et.tune(loop, optimizers=["ecdsep", "adamw"], trials=20, workers=2, confirm=6)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "csv"])
