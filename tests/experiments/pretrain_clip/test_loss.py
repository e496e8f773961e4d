import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from ordlib.experiments.pretrain_clip.model import contrastive_loss


def pairs(count: int = 6, width: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image, text = torch.randn(2, count, width, generator=generator, dtype=torch.float64)
    unit = [x / x.norm(dim=1, keepdim=True) for x in (image, text)]
    return *(x.requires_grad_() for x in unit), torch.tensor(7.0, dtype=torch.float64)


def naive_loss(image: list[list[float]], text: list[list[float]], scale: float) -> float:
    total = 0.0
    for one, other in ((image, text), (text, image)):
        for i, anchor in enumerate(one):
            scores = [scale * sum(a * b for a, b in zip(anchor, x, strict=True)) for x in other]
            total += math.log(sum(map(math.exp, scores))) - scores[i]
    return total / (2 * len(image))


def test_loss_is_that_of_a_naive_loop():
    image, text, scale = pairs()
    expected = naive_loss(image.tolist(), text.tolist(), scale.item())
    assert contrastive_loss(image, text, scale).item() == pytest.approx(expected, rel=1e-12)


def _share(rank: int, folder: str) -> None:
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    image, text, scale = pairs()
    own = slice(3 * rank, 3 * rank + 3)
    scale.requires_grad_()
    loss = contrastive_loss(image[own], text[own], scale)
    loss.backward()
    found = {"loss": loss.detach(), "image": image.grad, "text": text.grad, "scale": scale.grad}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_find_the_loss_and_gradients_of_one(tmp_path: Path):
    processes.spawn(_share, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    image, text, scale = pairs()
    scale.requires_grad_()
    loss = contrastive_loss(image, text, scale)
    loss.backward()
    torch.testing.assert_close(ranks[0]["loss"], loss.detach())
    torch.testing.assert_close(ranks[1]["loss"], loss.detach())
    # As DistributedDataParallel does it: gradients are averaged over processes.
    for name, expected in (("image", image.grad), ("text", text.grad), ("scale", scale.grad)):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected)
