"""``ordlib train``: parsing, output, errors and defaults."""

import inspect
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from commands import invoke, parse, run
from small_splits import noise

from ordlib import load_component
from ordlib.experiments import commands
from ordlib.experiments import train as module
from ordlib.experiments.pretrain_clip.config import PretrainingConfig, find_size
from ordlib.experiments.train import METHODS, reproduce_command
from ordlib.experiments.train_adapter import CONFIG
from ordlib.training import TrainingConfig
from ordlib.training.config import METRICS


def parse_command(line: str) -> tuple[tuple, dict]:
    """Parse a command without training; return its method, task and folder, and the rest."""
    (method, task, folder), more = parse(line, module, "train_and_save")
    return (method, task, folder.name), more


CHOICES = {
    "template": [None, 'A {rank}, it\'s "old"', "50% of {rank} = $HOME"],
    "templates": [(0,), (1, 0), ()], "n_ctx": [None, 0, 4], "image_encoder": ["lora", "full"],
    "lora_target_modules": [r".*\.(q_proj|v_proj)", "a b"],
    "fcrc_form": ["paper", "released", "plain"], "fcrc_norm": ["mean_one", "sum_to_one"],
    "bin_anchor": ["midpoint", "edge"], "interpolation_type": ["linear", "inverse"],
    "attention_over": ["ranks", "tokens", "both", "off"],
    "rank_pos_embed": [None, "learned", "sinusoidal"],
    "pairwise_loss": ["both", "tightness", "diversity", "batch", "off"], "alpha": [0.01, 0.5],
    **dict.fromkeys(("pairwise_weight", "gamma", "contrastive_weight"), (0.0, 2.5)),
}  # fmt: skip


def any_options(method: str, rng: np.random.Generator) -> dict:
    """A random subset of the method's options with valid values."""
    options = {}
    for name, default in asdict(METHODS[method].Config()).items():
        if name != "seed" and rng.random() < 0.5:
            fallback = [False, True] if isinstance(default, bool) else [1, 7]
            choices = CHOICES.get(name, fallback)
            options[name] = choices[rng.integers(len(choices))]
    return options


def any_config(rng: np.random.Generator) -> TrainingConfig:
    multipliers = {n: float(rng.choice([0, 1e-7, rng.random()])) for n in ("image_encoder", "head")}
    changes = {
        "epochs": int(rng.integers(1, 99)), "batch_size": int(rng.integers(1, 999)),
        "learning_rate": float(10 ** rng.uniform(-9, 0)), "lr_multipliers": multipliers,
        "max_grad_norm": float(rng.exponential()), "monitor": str(rng.choice(METRICS)),
        "patience": int(rng.integers(1, 9)), "prompt_epochs": int(rng.integers(1, 20)),
        "balanced_sampling": True, "flip": True, "crop_scale": float(rng.uniform(0.1, 1)),
        "jitter": float(rng.uniform(0.1, 0.9)), "seed": int(rng.integers(2**31)),
        "optimizer": str(rng.choice(["adam", "adamw", "radam", "sgd"])),
        "weight_decay": float(rng.choice([0, rng.random()])), "random_crop": True,
        "warmup_ratio": float(rng.choice([0, 0.5 * rng.random()])),
        "gamma": float(rng.uniform(0.1, 0.9)),
    }  # fmt: skip
    chosen = {name: v for name, v in changes.items() if rng.random() < 0.5}
    if chosen.get("prompt_epochs", 0) >= chosen.get("epochs", 20):
        del chosen["prompt_epochs"]
    if chosen.get("epochs", 0) > 2:
        milestones = tuple(sorted({1, int(rng.integers(1, chosen["epochs"]))}))
        schedules = [{}, {"schedule": "constant", "cooldown_ratio": 0.2}]
        schedules += [{"schedule": "multi_step", "milestones": milestones, "max_grad_norm": None}]
        chosen |= schedules[rng.integers(3)]
    return TrainingConfig(**chosen)


@pytest.mark.parametrize("method", METHODS)
def test_reproduce_command_round_trips(method):
    for number in range(8):
        rng = np.random.default_rng(number)
        config, options = any_config(rng), any_options(method, rng)
        backbone = str(rng.choice(["pico-clip", "openai/clip-vit-base-patch32", "my clip's"]))
        resize = str(rng.choice(["crop", "squash"]))
        line = reproduce_command(
            method, "ageing", "my folder", config, backbone, options, resize=resize
        )
        positional, more = parse_command(line)
        assert positional == (method, "ageing", "my folder")
        expected = {"config": config, "backbone": backbone, "device": "auto", "options": options}
        expected |= {"resize": resize, "data": None, "labels": None, "columns": {}}
        assert more == expected
        types = {name: type(value) for name, value in more["options"].items()}
        assert types == {name: type(value) for name, value in options.items()}


@pytest.mark.parametrize("labels", [None, Path("a table.csv")])
def test_reproduce_command_round_trips_custom_data(labels):
    task, where = "it's mine.toml", (Path("my images/large"), labels)
    line = reproduce_command("coop", task, "x", TrainingConfig(), "pico-clip", {"n_ctx": 4}, *where)
    positional, more = parse_command(line)
    assert positional == ("coop", task, "x")
    assert (more["data"], more["labels"], more["options"]) == (*where, {"n_ctx": 4})


def test_reproduce_command_covers_every_config_field():
    config = TrainingConfig(
        epochs=2, batch_size=3, learning_rate=1e-5, lr_multipliers={"image_encoder": 0.1},
        max_grad_norm=2.0, monitor="kappa", patience=3, prompt_epochs=1, balanced_sampling=True,
        flip=True, crop_scale=0.5, random_crop=True, jitter=0.1, seed=9, optimizer="sgd",
        weight_decay=0.0, schedule="multi_step", warmup_ratio=0.0, milestones=(1,), gamma=0.5,
    )  # fmt: skip
    # A multi-step schedule has no cooldown.
    other = replace(config, schedule="constant", milestones=(), cooldown_ratio=0.5)
    for given in (config, other):
        line = reproduce_command("corn", "dating", "x", given, "pico-clip", {})
        assert parse_command(line)[1]["config"] == given
    changed = asdict(config) | {"cooldown_ratio": other.cooldown_ratio}
    assert all(v != asdict(TrainingConfig())[name] for name, v in changed.items())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4), ("-0.5", -0.5), ("true", True), ("False", False), ("null", None), ("None", None),
        ("paper", "paper"), ("", ""), ("[0, 2]", (0, 2)), ("a=b", "a=b"), ("1e-3", 0.001),
    ],
)  # fmt: skip
def test_an_options_value_is_read(text, value):
    words = ["--task", "dating", "--output", "x", "--set", f"name={text}"]
    found = parse_command(shlex.join(["ordlib", "train", "corn", *words]))[1]["options"]
    assert found == {"name": value}
    assert type(found["name"]) is type(value)


def test_command_train_repeats_lr_multiplier_and_set():
    line = "ordlib train numclip --task dating --output x"
    line += " --lr-multiplier image_encoder=0.1 --lr-multiplier prompts=2"
    line += " --set text_to_image_loss=false --image-encoder lora --set fcrc_form=plain"
    more = parse_command(line)[1]
    assert more["config"] == TrainingConfig(lr_multipliers={"image_encoder": 0.1, "prompts": 2.0})
    options = {"text_to_image_loss": False, "fcrc_form": "plain", "image_encoder": "lora"}
    assert more["options"] == options


@pytest.fixture
def train(tmp_path, monkeypatch, tiny_clip_folder):
    """The words of a command that trains on a few images."""
    load = {"dating": noise, "baking": module.load_data}
    monkeypatch.setattr(module, "load_data", lambda task, *rest: load[task](task, *rest))
    monkeypatch.setattr(module, "synthetic_calibration_data", lambda t, side: noise(t, "val", side))
    more = ["--output", tmp_path / "out", "--device", "cpu", "--backbone", tiny_clip_folder]
    return lambda method, task, *words: ["train", method, "--task", task, *more, *words]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("magic dating", "method = 'magic': must be one of coop, corn, finetuned"),
        ("corn baking", "task = 'baking': must be one of counting, dating, ageing"),
        ("corn dating --learning-rate nan", "learning_rate = nan: must be a finite number"),
        ("corn dating --epochs 0", "epochs = 0: must be above 0"),
        ("corn dating --monitor loss", "monitor = 'loss': must be one of mae"),
        ("corn dating --lr-multiplier head", "--lr-multiplier head: must have the form"),
        ("corn dating --lr-multiplier head=x", "--lr-multiplier head=x: could not"),
        ("corn dating --lr-multiplier head=nan", "lr_multipliers = {'head': nan}: must"),
        ("corn dating --schedule step", "schedule = 'step': must be one of cosine, constant"),
        ("corn dating --milestone 3", "milestones = (3,): required by schedule='multi_step'"),
        ("corn dating --lr-multiplier words=1", "lr_multipliers"),
        ("corn dating --set kl", "--set kl: must have the form NAME=VALUE"),
        ("corn dating --set gamma=1", "gamma = 1: unknown option of corn"),
        ("corn dating --set adapter=no", "adapter = 'no': must be bool"),
        ("numclip dating --set fcrc_form=odd", "fcrc_form = 'odd': must be one of"),
        ("coop dating --set n_ctx=NaN", "n_ctx = nan: must be int"),
        ("l2rclip dating --epochs 9 --prompt-epochs 9", "prompt_epochs = 9: must be"),
        ("l2rclip dating --prompt-epochs 3", "prompt_epochs = 3: "),
        ("l2rclip dating --set alpha=2.0", "alpha = 2.0: must be"),
        ("corn dating --image-encoder half", "image_encoder = 'half': must be one"),
        ("corn dating --device abacus", "abacus"),
        ("corn dating --backbone nowhere/at/all", "nowhere/at/all"),
        ("corn dating --learning-rate 1e39", "validation after epoch 1: "),
        ("corn mine.toml", "task = mine.toml: a custom task needs images; give --data"),
        ("corn dating --labels a.csv", "labels = a.csv: needs images; give --data"),
    ],
)
def test_command_train_fails_with_one_red_line(words, message, train, tmp_path):
    found = invoke(*train(*words.split()), color=True)
    assert (found.exit_code, type(found.exception)) == (1, SystemExit)
    assert message in found.stderr
    (line,) = [line for line in found.stderr.splitlines() if "\x1b[31m" in line]
    assert line.endswith("\x1b[0m")
    assert "Traceback" not in found.output
    assert not (tmp_path / "out" / "config.json").exists()


def test_command_train_saves_a_component(train, clip, tmp_path):
    words = ["--epochs", "1", "--seed", "2", "--set", "text_to_image_loss=false"]
    found, out = run(*train("numclip", "dating", *words)), tmp_path / "out"
    model = load_component(out, clip)
    assert model.options == replace(METHODS["numclip"].Config(), seed=2, text_to_image_loss=False)
    assert np.isfinite(model.predict(noise("dating", "test", 64)).value).all()
    assert re.search(r"^val mae \d+\.\d{3} in \d+ s$", found.stdout, re.MULTILINE)
    assert f"saved {out}; load it with ordlib.load_component({str(out)!r})" in found.stdout
    assert shlex.join(words) in model.card["command"]


def test_command_train_reports_an_undefined_metric(train, monkeypatch):
    metrics = dict.fromkeys(METRICS, 1.0) | {"spearman": float("nan")}
    monkeypatch.setattr("ordlib.training.trainer.compute_metrics", lambda *_: dict(metrics))
    with pytest.warns(UserWarning, match="spearman"):
        found = run(*train("corn", "dating", "--epochs", "1", "--monitor", "spearman"))
    assert "val spearman undefined in " in found.stdout


def defaults_of(function: Callable) -> dict[str, object]:
    return {name: given.default for name, given in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize(
    ("function", "config", "names"),
    [
        (
            commands.train,
            TrainingConfig(),
            {*asdict(TrainingConfig())} - {"lr_multipliers", "milestones"},
        ),
        (commands.pretrain, PretrainingConfig(), {*asdict(PretrainingConfig())} - {"size"}),
        (commands.train_adapter, CONFIG, {"epochs", "seed"}),
    ],
    ids=["train", "pretrain", "train_adapter"],
)
def test_command_defaults_equal_config_defaults(function, config, names):
    """They are duplicated, so that --help does not import torch."""
    defaults = defaults_of(function)
    assert {name: defaults[name] for name in names} == {n: getattr(config, n) for n in names}


def test_command_other_defaults_equal_config_defaults():
    assert defaults_of(commands.train)["lr_multiplier"] is None
    assert TrainingConfig().lr_multipliers == {}
    assert defaults_of(commands.train)["milestone"] is None
    assert TrainingConfig().milestones == ()
    assert defaults_of(commands.train)["image_encoder"] == METHODS["corn"].Config().image_encoder
    assert find_size(defaults_of(commands.pretrain)["size"]) == PretrainingConfig().size
