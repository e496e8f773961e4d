"""Losses and the ranking adapter's training step against the form of the papers' released codes.

Forward and backward pass, on one CPU thread; results are compared before anything is timed.
``ordlib results make releases`` writes the table.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from math import isnan

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import AdamW
from torch.utils.benchmark import set_torch_threads

from ordlib import losses
from ordlib.methods.numclip import Regressor
from ordlib.methods.ranking_adapter.network import RankingAdapterNetwork
from ordlib.training.ranking_trainer import RankingTrainer
from ordlib.utils.device import device_description

from . import release_forms as released
from .tools import max_relative_difference, median_seconds, peak_memory

BATCH_SIZES, NUMS_BINS, NUM_RANKS, WIDTH = (32, 128, 512), (5, 101), 101, 512
NUMS_IMAGES, NUM_PATCHES, ADAPTER_WIDTH = (16, 32, 64), 100, 256
# The released adapter reads all positions of CLIP; prompts of our tasks have about 10 tokens.
NUMS_TEXT_TOKENS = (77, 10)
LOGIT_SCALE = 100.0
# Largest relative difference of the loss, and of its gradients, in float32.
TOLERANCE = 1e-3

Run = Callable[[], list[Tensor]]


def make(table: str, repeats: int = 3) -> dict:
    """Compute the results table; also record the load of the machine, which should be idle."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "description": "Forward and backward pass in the form of the papers' released codes and in "
        "ordlib, with equal results: seconds (medians of alternating runs) by batch size. Ranking "
        f"adapter: the whole training step, P {NUM_PATCHES}, d {ADAPTER_WIDTH}, and its peak MiB.",
        "load_average": load,
        "torch": torch.__version__,
        "records": records(repeats),
    }


def measure(repeats: int = 3) -> pd.DataFrame:
    """Released codes: losses and the ranking adapter's training step, forward and backward."""
    table = pd.DataFrame(records(repeats))
    return table.astype(object).where(table.notna(), "")


def records(repeats: int) -> list[dict]:
    """Return one record per function and batch size."""
    with set_torch_threads(1):
        rows = [row for size in BATCH_SIZES for row in _losses(size, 8 * repeats)]
        rows += [_adapter(n, t, repeats) for t in NUMS_TEXT_TOKENS for n in NUMS_IMAGES]
        about = {"device": device_description(torch.device("cpu")), "threads": 1}
    return [row | about for row in rows]


def _compare(name: str, size: int, reference: Run, ordlib: Run) -> dict:
    """Start a record; raise AssertionError if losses or gradients differ.

    The norm of all gradients together counts: where a number before a ReLU is 0 but for rounding,
    single gradients differ by a few percent between any two ways to add in float32.
    """
    (loss, *gradients), (expected, *expected_gradients) = ordlib(), reference()
    a, b = (torch.cat([g.flatten() for g in gs]) for gs in (gradients, expected_gradients))
    of_gradients = ((a - b).norm() / b.norm()).item()
    difference = max(max_relative_difference(loss, expected), of_gradients)
    assert difference < TOLERANCE, f"{name}, {size} images: results differ by {difference:.1e}"
    return {"function": name, "batch_size": size, "max_difference": float(f"{difference:.1e}")}


def _time(reference: Run, ordlib: Run, repeats: int) -> dict:
    seconds = median_seconds({"release": reference, "ordlib": ordlib}, repeats)
    rounded = {f"seconds_{name}": float(f"{value:.3g}") for name, value in seconds.items()}
    return rounded | {"times_faster": round(seconds["release"] / seconds["ordlib"], 2)}


def _losses(batch_size: int, repeats: int) -> Iterator[dict]:
    for name, reference, ordlib in (*_numclip(batch_size), *_l2rclip(batch_size)):
        row = _compare(name, batch_size, reference, ordlib)
        yield row | _time(reference, ordlib, repeats) | {"mib_release": None, "mib_ordlib": None}


def _numclip(batch_size: int) -> Iterator[tuple[str, Run, Run]]:
    """Yield name, reference and ordlib's function of each part of NumCLIP's loss."""
    generator = torch.Generator().manual_seed(0)
    for num_bins in NUMS_BINS:
        logits = 5 * torch.randn(batch_size, num_bins, generator=generator)
        bins = torch.randint(num_bins, (batch_size,), generator=generator)
        forms = {
            "FCRC": (released.fcrc, partial(losses.fcrc, form="released")),
            "text-to-image KL": (released.text_to_image_kl, losses.text_to_image_kl),
        }
        for name, pair in forms.items():
            yield f"{name}, {num_bins} bins", *(_gradients(f, [logits], bins) for f in pair)
    num_bins = NUMS_BINS[0]
    regressor, anchors = Regressor(num_bins), torch.linspace(0, 65, num_bins)
    logits = 5 * torch.randn(batch_size, num_bins, generator=generator)

    def reference(logits: Tensor, *_: Tensor) -> Tensor:
        return released.regressor(regressor.layers, logits, anchors).mean()

    def ordlib(logits: Tensor, *_: Tensor) -> Tensor:
        return regressor(logits, anchors).mean()

    inputs = [logits, *regressor.parameters()]
    name = f"NumCLIP regressor, {num_bins} bins"
    yield name, *(_gradients(function, inputs) for function in (reference, ordlib))


def _l2rclip(batch_size: int) -> Iterator[tuple[str, Run, Run]]:
    """Yield the same of L2RCLIP's losses; the features are to be normalized."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(n, WIDTH, generator=generator) for n in (batch_size, NUM_RANKS)]
    ranks = torch.randint(NUM_RANKS, (batch_size,), generator=generator)
    rank_values = torch.arange(float(NUM_RANKS))
    labels = ranks, rank_values[ranks], rank_values
    stages = {
        2: ("ordinal_pairwise", labels, "both"),
        1: ("batch_ordinal_pairwise", labels[:2], "batch"),
    }
    for stage, (name, arguments, pairwise_loss) in stages.items():
        pair = _normalized(getattr(released, name)), getattr(losses, name)
        functions = (_gradients(f, features, *arguments) for f in pair)
        yield f"L2RCLIP pairwise, stage {stage}", *functions
        options = {"logit_scale": LOGIT_SCALE, "pairwise_loss": pairwise_loss}
        pair = _normalized(released.l2rclip_loss), losses.l2rclip_loss
        functions = (_gradients(partial(f, **options), features, *labels) for f in pair)
        yield f"L2RCLIP, all losses, stage {stage}", *functions
    logits = LOGIT_SCALE * losses.cosine_similarity_matrix(*features)
    pair = released.supervised_contrastive, _supervised_contrastive
    functions = (_gradients(f, [logits], ranks, torch.arange(NUM_RANKS)) for f in pair)
    yield "supervised contrastive", *functions


def _supervised_contrastive(logits: Tensor, labels: Tensor, candidate_labels: Tensor) -> Tensor:
    return losses.supervised_contrastive(logits, labels[:, None] == candidate_labels)


def _normalized(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def normalized(images: Tensor, texts: Tensor, *labels: Tensor, **options: object) -> Tensor:
        return loss(normalize(images, dim=-1), normalize(texts, dim=-1), *labels, **options)

    return normalized


def _gradients(loss: Callable[..., Tensor], inputs: list[Tensor], *constants: Tensor) -> Run:
    """Return a function of the loss and its gradients with respect to ``inputs``."""
    leaves = [tensor.requires_grad_() for tensor in inputs]

    def run() -> list[Tensor]:
        value = loss(*leaves, *constants)
        return [value.detach(), *torch.autograd.grad(value, leaves)]

    return run


def _adapter(num_images: int, num_text_tokens: int, repeats: int) -> dict:
    """Compare results and gradients without dropout, then time training steps with dropout."""
    torch.manual_seed(0)
    tokens = torch.randn(num_images, NUM_PATCHES, ADAPTER_WIDTH)
    inputs = tokens, torch.randn(num_text_tokens, ADAPTER_WIDTH), torch.randn(num_images)
    ordlib = RankingAdapterNetwork(ADAPTER_WIDTH, ADAPTER_WIDTH)
    networks = released.AdapterNetwork(ordlib), ordlib
    weight_decay, runs, steps = RankingTrainer.default_weight_decay, [], []
    for network, loss in zip(networks, (_released_loss, _ordlib_loss), strict=True):
        parameters = [parameter for _, parameter in sorted(network.named_parameters())]
        optimizer = AdamW(parameters, weight_decay=weight_decay, amsgrad=True)
        runs.append(_gradients(partial(loss, network.eval(), *inputs), parameters))
        steps.append(partial(_step, partial(loss, network, *inputs), optimizer))
    name = f"ranking adapter, training step, {num_text_tokens} text tokens"
    row = _compare(name, num_images, *runs)
    for network in networks:
        network.train()
    row |= _time(*steps, repeats)
    mib = (peak_memory(step)[0] for step in steps)
    mib = [None if isnan(value) else round(value, 1) for value in mib]
    return row | dict(zip(("mib_release", "mib_ordlib"), mib, strict=True))


def _released_loss(network: nn.Module, *inputs: Tensor) -> Tensor:
    image_tokens, text_tokens, targets, *_ = inputs
    return released.adapter_loss(*network(image_tokens, text_tokens), targets)


def _ordlib_loss(network: RankingAdapterNetwork, *inputs: Tensor) -> Tensor:
    image_tokens, text_tokens, targets, *_ = inputs
    tokens = network(image_tokens, text_tokens)
    scores, logits = network.scores(tokens), network.pair_logits(tokens)
    return losses.dual_loss(scores, logits, targets, tie_handling="zero")


def _step(loss: Callable[[], Tensor], optimizer: AdamW) -> None:
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()
