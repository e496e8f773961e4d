import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY, Mock, call

import numpy as np
import pytest
import torch
from commands import fail, run
from pretraining_runs import interrupt
from safetensors.torch import load_file

from ordlib import load_clip
from ordlib.experiments.pretrain_clip import pretrain as module
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


@pytest.fixture(scope="module")
def checkpoint(pool, config, tmp_path_factory):
    """The folder of an uninterrupted run."""
    return pretrain(config, tmp_path_factory.mktemp("runs") / "pico", num_workers=1)


def read_card(folder) -> dict:
    return json.loads((folder / "card.json").read_text())


def test_pretrain_saves_a_loadable_half_precision_clip(checkpoint, pool):
    clip = load_clip(checkpoint, "cpu")
    images = pool.open()[:8].copy()
    features = clip.encode_images(list(images))
    assert features.shape == (8, 24)
    assert features.isfinite().all()
    assert clip.encode_text(["three red stars", "a portrait"]).isfinite().all()
    raw = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    torch.testing.assert_close(clip.preprocess(list(images)), (raw - mean) / std)
    dtypes = {name: t.dtype for name, t in load_file(checkpoint / "model.safetensors").items()}
    assert dtypes.pop("logit_scale") == torch.float32
    assert set(dtypes.values()) == {torch.float16}


def test_pretrain_writes_a_card(checkpoint, config):
    card = read_card(checkpoint)
    weights = (checkpoint / "model.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    losses = [loss for _, loss in card["train_loss"]]
    assert len(losses) == 12
    assert np.mean(losses[:2]) > np.log(24) - 0.1
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1
    expected = {"steps": 12, "samples_seen": 288, "seed": 3, "count_caption_fraction": 0.5}
    assert card.items() >= expected.items()
    assert card["command"] == reproduce_command(config, "pico")
    # Three epochs of 48 counting images, half of whose captions state the count.
    assert 54 <= card["count_captions"]["count"] <= 90
    assert card["count_captions"]["fraction"] == card["count_captions"]["count"] / 288
    assert card["device"].startswith("cpu")
    assert card["versions"]["torch"] == torch.__version__
    assert not checkpoint.with_name("pico.state.safetensors").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pretrain_resumes_bit_equal(pool, config, tmp_path, precision):
    config = replace(config, precision=precision)
    straight = pretrain(config, tmp_path / "straight", num_workers=1)
    resumed, steps = tmp_path / "resumed", []
    for step in (2, 7):
        interrupt(config, resumed, step)
    pretrain(config, resumed, num_workers=1, on_step=lambda state: steps.append(state.step))
    assert steps == [8, 9, 10, 11, 12]
    files = [folder / "model.safetensors" for folder in (straight, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()
    cards = [read_card(folder) for folder in (straight, resumed)]
    for key in ("train_loss", "count_captions", "steps", "sha256"):
        assert cards[0][key] == cards[1][key]


def test_pretrain_equals_naive_loop(pool, config, tmp_path):
    config = replace(config, precision="float32")
    weights = load_file(pretrain(config, tmp_path / "x", num_workers=1) / "model.safetensors")
    tokenizer = build_tokenizer(pool)
    captioner = CaptionGenerator(
        pool, tokenizer.backend_tokenizer, config.count_caption_fraction, None, config.seed
    )
    clip = build_model(config.size, tokenizer, config.seed)
    # The same attention kernels: Adam and Muon in bfloat16 would amplify rounding differences.
    clip.set_attn_implementation("eager")
    hidden, embeddings, vectors = [], [], []
    for name, parameter in clip.named_parameters():
        is_hidden = ".layers." in name or "projection" in name
        (vectors if parameter.ndim < 2 else hidden if is_hidden else embeddings).append(parameter)
    groups = [{"params": embeddings, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}]
    optimizers = [
        torch.optim.Muon(hidden, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True),
    ]
    for step, batch in enumerate(PairLoader(config, captioner, num_workers=1).start(0)):
        loss = contrastive_loss(*CLIPWithPreprocessing(clip)(batch.images, batch.ids))
        clip.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate_at(step)
            optimizer.step()
    for name, tensor in clip.state_dict().items():
        torch.testing.assert_close(weights[name].float(), tensor, rtol=1e-3, atol=1e-6)


def test_pretrain_rejects_state_of_another_config(pool, config, tmp_path):
    interrupt(config, tmp_path / "x", 1)
    with pytest.raises(ValueError, match=r"count_caption_fraction .*0\.5.*0\.1"):
        pretrain(replace(config, count_caption_fraction=0.1), tmp_path / "x", num_workers=1)


def test_pretrain_never_overwrites_a_checkpoint(config, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "render_pool", None)  # not reached
    with pytest.raises(FileExistsError, match=r"output = .*: exists already"):
        pretrain(config, tmp_path)


def test_pretrain_stops_on_divergence_and_keeps_the_state(pool, config, tmp_path, monkeypatch):
    interrupt(config, tmp_path / "x", 1)
    state = tmp_path / "x.state.safetensors"
    before = state.read_bytes()
    nan = Mock(return_value=torch.tensor(float("nan"), requires_grad=True))
    monkeypatch.setattr(trainer, "contrastive_loss", nan)
    with pytest.raises(FloatingPointError, match=r"loss = nan: .* step 2; lower --learning-rate"):
        pretrain(config, tmp_path / "x", checkpoint_minutes=0, num_workers=1)
    assert state.read_bytes() == before


@pytest.fixture
def requested(monkeypatch) -> Mock:
    """Record the arguments of pretrain; nothing is trained."""
    monkeypatch.setattr(module, "pretrain", Mock(return_value="x"))
    return module.pretrain


def test_reproduce_command_round_trips(requested):
    config = PretrainingConfig(
        count_caption_fraction=0.003, distractor_number_fraction=0.4, seed=2, learning_rate=3e-4,
        precision="float32",
    )  # fmt: skip
    program, *words = shlex.split(reproduce_command(config, "my pico"))
    assert program == "ordlib"
    run(*words)
    assert requested.call_args.args == (config, Path("my pico"))


def test_command_pretrain_defaults(requested):
    given = ["--checkpoint-minutes", "0.5", "--num-workers", "3", "--size", "small"]
    for options, minutes, num_workers in (([], 2.0, None), (given, 0.5, 3)):
        run("pretrain", "--output", "x", *options)
        more = {"checkpoint_minutes": minutes, "num_workers": num_workers, "on_step": ANY}
        assert requested.call_args == call(PretrainingConfig(), Path("x"), **more)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "huge"], "size = 'huge': must be one of small"),
        (["--count-caption-fraction", "50"], "count_caption_fraction = 50.0: must be between 0"),
        (["--num-images", "1001"], "num_images = 1001: must be a multiple of"),
    ],
)
def test_command_pretrain_fails_with_one_line(options, message, tmp_path):
    output = fail(message, "pretrain", *options, "--output", tmp_path / "x")
    assert len(output.splitlines()) == 1
    assert not list(tmp_path.iterdir())
