from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from ordlib.training.distributed import all_gather_with_grad


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features and labels of six samples, and a weight that every process has."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    return features.requires_grad_(), torch.arange(6), weight.requires_grad_()


def loss_of(features: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Every sample is compared with every other one, and labels decide how."""
    likeness = features @ weight @ features.T
    distance = (labels[:, None] - labels[None]).abs()
    return (distance * likeness).logsumexp(1).mean()


def test_alone_rows_stay_as_they_are():
    features = rows()[0]
    assert all_gather_with_grad(features) is features


def _share(rank: int, folder: str) -> None:
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    features, labels, weight = rows()
    own = slice(3 * rank, 3 * rank + 3)
    # A transposed copy: the same numbers, but not contiguous, as some methods' features are.
    mine = features[own].T.contiguous().T
    assert not mine.is_contiguous()
    joined, joined_labels = all_gather_with_grad(mine), all_gather_with_grad(labels[own])
    loss = loss_of(joined, joined_labels, weight)
    loss.backward()
    found = {"joined": joined.detach(), "labels": joined_labels, "loss": loss.detach()}
    torch.save(found | {"features": features.grad, "weight": weight.grad}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_find_the_loss_and_gradients_of_one(tmp_path: Path):
    processes.spawn(_share, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    features, labels, weight = rows()
    loss = loss_of(features, labels, weight)
    loss.backward()
    for found in ranks:
        assert torch.equal(found["joined"], features.detach())
        assert torch.equal(found["labels"], labels)
        torch.testing.assert_close(found["loss"], loss.detach())
    # As DistributedDataParallel does it: gradients are averaged over processes.
    for name, expected in (("features", features.grad), ("weight", weight.grad)):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected)
