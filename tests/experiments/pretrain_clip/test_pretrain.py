import hashlib
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from ordlib import load_clip
from ordlib.cli import app
from ordlib.experiments.pretrain_clip import pretrain as runs
from ordlib.experiments.pretrain_clip import trainer
from ordlib.experiments.pretrain_clip.captioning import CaptionGenerator
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.loader import PairLoader
from ordlib.experiments.pretrain_clip.model import (
    CLIPWithPreprocessing,
    build_model,
    contrastive_loss,
)
from ordlib.experiments.pretrain_clip.pretrain import pretrain, reproduce_command
from ordlib.experiments.pretrain_clip.tokenizer import build_tokenizer


class Stop(Exception):
    """What interrupts a run."""


def stop_at(step: int):
    def watch(progress):
        if progress.step == step:
            raise Stop

    return watch


@pytest.fixture(scope="module")
def whole(pool, config, tmp_path_factory):
    """The folder of a run without interruption."""
    return pretrain(config, tmp_path_factory.mktemp("runs") / "pico", workers=1)


def read_card(folder) -> dict:
    return json.loads((folder / "card.json").read_text())


def test_the_checkpoint_is_an_ordinary_clip(whole, pool, config):
    clip = load_clip(whole, "cpu")
    pictures = pool.open()[:8].copy()
    features = clip.encode_images(list(pictures))
    assert features.shape == (8, 24)
    assert features.isfinite().all()
    assert clip.encode_text(["three red stars", "a portrait"]).isfinite().all()
    raw = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    torch.testing.assert_close(clip.preprocess(list(pictures)), (raw - mean) / std)
    kinds = {name: tensor.dtype for name, tensor in load_file(whole / "model.safetensors").items()}
    assert kinds.pop("logit_scale") == torch.float32
    assert set(kinds.values()) == {torch.float16}


def test_the_card_tells_what_was_done(whole, config):
    card = read_card(whole)
    assert card["sha256"] == hashlib.sha256((whole / "model.safetensors").read_bytes()).hexdigest()
    losses = [loss for _, loss in card["losses"]]
    assert len(losses) == 12
    assert np.mean(losses[:2]) > np.log(24) - 0.1
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1
    assert (card["steps"], card["samples_seen"], card["seed"], card["count_caption_fraction"]) == (
        12,
        288,
        3,
        0.5,
    )
    assert card["command"] == reproduce_command(config, "pico")
    # Three epochs of 48 counting pictures, of whose captions about half count.
    assert 54 <= card["counting_captions"]["number"] <= 90
    assert card["counting_captions"]["share_of_all"] == card["counting_captions"]["number"] / 288
    assert card["device"].startswith("cpu")
    assert card["versions"]["torch"] == torch.__version__
    assert not whole.with_name("pico.state.safetensors").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interrupted_it_ends_in_the_same_bits(pool, config, tmp_path, precision):
    config = replace(config, precision=precision)
    straight = pretrain(config, tmp_path / "straight", workers=1)
    broken, steps = tmp_path / "broken", []
    for step in (2, 7):
        with pytest.raises(Stop):
            pretrain(config, broken, save_minutes=0, workers=1, watch=stop_at(step))
    pretrain(config, broken, workers=1, watch=lambda progress: steps.append(progress.step))
    assert steps == [8, 9, 10, 11, 12]
    files = [folder / "model.safetensors" for folder in (straight, broken)]
    assert files[0].read_bytes() == files[1].read_bytes()
    cards = [read_card(folder) for folder in (straight, broken)]
    for fact in ("losses", "counting_captions", "steps", "sha256"):
        assert cards[0][fact] == cards[1][fact]


def test_a_plain_loop_gives_the_same_weights(pool, config, tmp_path):
    config = replace(config, precision="float32")
    found = load_file(pretrain(config, tmp_path / "x", workers=1) / "model.safetensors")
    tokenizer = build_tokenizer(pool)
    captioner = CaptionGenerator(
        pool, tokenizer.backend_tokenizer, config.count_caption_fraction, None, config.seed
    )
    clip = build_model(config.size, tokenizer, config.seed)
    # The run's own kernels: Adam and bfloat16 in Muon would enlarge others' last bits.
    clip.set_attn_implementation("eager")
    inner, embeddings, vectors = [], [], []
    for name, parameter in clip.named_parameters():
        hidden = ".layers." in name or "projection" in name
        (vectors if parameter.ndim < 2 else inner if hidden else embeddings).append(parameter)
    groups = [{"params": embeddings, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}]
    optimizers = [
        torch.optim.Muon(inner, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True),
    ]
    for step, batch in enumerate(PairLoader(config, captioner, workers=1).start(0)):
        loss = contrastive_loss(*CLIPWithPreprocessing(clip)(batch.images, batch.ids))
        clip.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate_at(step)
            optimizer.step()
    for name, tensor in clip.state_dict().items():
        torch.testing.assert_close(found[name].float(), tensor, rtol=1e-3, atol=1e-6)


def test_another_plan_does_not_go_on_from_a_state(pool, config, tmp_path):
    with pytest.raises(Stop):
        pretrain(config, tmp_path / "x", save_minutes=0, workers=1, watch=stop_at(1))
    with pytest.raises(ValueError, match=r"dose was 0\.5 there and is 0\.1 now"):
        pretrain(replace(config, count_caption_fraction=0.1), tmp_path / "x", workers=1)


def test_a_checkpoint_is_never_overwritten(config, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "render_pool", None)  # not even reached
    with pytest.raises(FileExistsError, match="exists already"):
        pretrain(config, tmp_path)


def test_a_diverging_run_stops_and_keeps_its_last_state(pool, config, tmp_path, monkeypatch):
    with pytest.raises(Stop):
        pretrain(config, tmp_path / "x", save_minutes=0, workers=1, watch=stop_at(1))
    state = tmp_path / "x.state.safetensors"
    before = state.read_bytes()
    lost = lambda *_: torch.tensor(float("nan"), requires_grad=True)  # noqa: E731
    monkeypatch.setattr(trainer, "contrastive_loss", lost)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 2: lower"):
        pretrain(config, tmp_path / "x", save_minutes=0, workers=1)
    assert state.read_bytes() == before


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What a run was asked for; none begins."""
    found = {}

    def record(config: PretrainingConfig, output, **more):
        more.pop("watch")
        found.update(config=config, output=str(output), **more)
        return output

    monkeypatch.setattr(runs, "pretrain", record)
    return found


def test_the_command_on_the_card_is_understood(asked):
    config = PretrainingConfig(
        count_caption_fraction=0.003,
        distractor_number_fraction=0.4,
        seed=2,
        learning_rate=3e-4,
        precision="float32",
    )
    words = shlex.split(reproduce_command(config, "my pico"))
    assert words[:2] == ["ordlib", "pretrain"]
    assert words[-1] == "my pico"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    assert (asked["config"], asked["output"]) == (config, "my pico")


def test_the_command_alone_asks_for_the_plan_as_it_is(asked):
    result = CliRunner().invoke(app, ["pretrain", "--output", "x"])
    assert result.exit_code == 0, result.output
    assert asked == {
        "config": PretrainingConfig(),
        "output": "x",
        "save_minutes": 2.0,
        "workers": None,
    }
    more = ["--checkpoint-minutes", "0.5", "--num-workers", "3", "--size", "small"]
    CliRunner().invoke(app, ["pretrain", "--output", "x", *more])
    assert (asked["save_minutes"], asked["workers"]) == (0.5, 3)
    assert asked["config"] == PretrainingConfig()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "huge"], "size = huge: must be one of small"),
        (
            ["--count-caption-fraction", "50"],
            "count_caption_fraction = 50.0: must be a share, 0 to 1",
        ),
        (["--num-images", "1001"], "a pool of 1001 pictures"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_1(words, message, tmp_path):
    result = CliRunner().invoke(app, ["pretrain", *words, "--output", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert message in result.output
    assert not list(tmp_path.iterdir())
