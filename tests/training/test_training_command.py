"""``python -m ordlib.training``: what it understands, what it prints, and how it fails."""

import shlex
from dataclasses import asdict, replace

import numpy as np
import pytest
from small_splits import noise
from typer.testing import CliRunner

from ordlib import load_component
from ordlib.training import TrainingPlan
from ordlib.training import run as module
from ordlib.training.__main__ import app
from ordlib.training.plan import METRICS
from ordlib.training.run import METHODS, command


class Told(Exception):
    """Carries what the command understood."""


@pytest.fixture
def understood(monkeypatch):
    """Parse a command without training, and return what would be trained."""

    def train_component(method, task, folder, **more):
        raise Told(method, task, folder.name, more)

    def parse(line: str) -> tuple:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "ordlib.training"]
        with monkeypatch.context() as patch:
            patch.setattr(module, "train_component", train_component)
            found = CliRunner().invoke(app, words[3:])
        assert isinstance(found.exception, Told), found.output
        return found.exception.args

    return parse


CHOICES = {
    "template": [None, 'A {rank}, it\'s "old"', "50% of {rank} = $HOME"],
    "templates": [(0,), (1, 0), ()],
    "lora_targets": [r".*\.(q_proj|v_proj)", "a b"],
    "context": [None, 0, 4],
    "tower": ["lora", "full"],
    "form": ["paper", "released", "plain"],
    "norm": ["mean_one", "sum_to_one"],
    "anchor": ["midpoint", "edge"],
    "interpolation": ["linear", "inverse"],
    "attend": ["ranks", "tokens", "both", "off"],
    "positions": [None, "learned", "sinusoidal"],
    "pairwise": ["both", "tightness", "diversity", "batch", "off"],
    "alpha": [0.01, 0.5],
    "pairwise_weight": [0.0, 2.5],
    "gamma": [0.0, 2.5],
    "contrastive_weight": [0.0, 2.5],
}


def any_options(method: str, rng: np.random.Generator) -> dict:
    """Some of a method's options, at values that they may have."""
    options = {}
    for name, default in asdict(METHODS[method].Options()).items():
        if name != "seed" and rng.random() < 0.5:
            plain = [False, True] if isinstance(default, bool) else [1, 7]
            known = CHOICES.get(name, plain)
            options[name] = known[rng.integers(len(known))]
    return options


def any_plan(rng: np.random.Generator) -> TrainingPlan:
    changes = {
        "epochs": int(rng.integers(1, 99)),
        "batch": int(rng.integers(1, 999)),
        "learning_rate": float(10 ** rng.uniform(-9, 0)),
        "rates": {name: float(rng.choice([0, 1e-7, rng.random()])) for name in ("tower", "rest")},
        "largest_norm": float(rng.exponential()),
        "metric": str(rng.choice(METRICS)),
        "patience": int(rng.integers(1, 9)),
        "words_first": int(rng.integers(1, 20)),
        "seed": int(rng.integers(2**31)),
    }
    chosen = {name: v for name, v in changes.items() if rng.random() < 0.5}
    if chosen.get("words_first", 0) >= chosen.get("epochs", 20):
        del chosen["words_first"]
    return TrainingPlan(**chosen)


@pytest.mark.parametrize("method", METHODS)
def test_the_command_on_a_card_is_understood_as_it_was_meant(method, understood):
    for number in range(8):
        rng = np.random.default_rng(number)
        plan, options = any_plan(rng), any_options(method, rng)
        backbone = str(rng.choice(["pico-clip", "openai/clip-vit-base-patch32", "my clip's"]))
        line = command(method, "ageing", "my folder", plan, backbone, options)
        *what, more = understood(line)
        assert what == [method, "ageing", "my folder"]
        assert more == {"plan": plan, "backbone": backbone, "device": "auto", "options": options}
        types = {name: type(value) for name, value in more["options"].items()}
        assert types == {name: type(value) for name, value in options.items()}


def test_every_field_of_a_plan_can_be_given(understood):
    plan = TrainingPlan(
        epochs=2, batch=3, learning_rate=1e-5, rates={"tower": 0.1}, largest_norm=2.0,
        metric="kappa", patience=3, words_first=1, seed=9,
    )  # fmt: skip
    assert all(v != asdict(TrainingPlan())[name] for name, v in asdict(plan).items())
    assert understood(command("corn", "dating", "x", plan, "pico-clip", {}))[-1]["plan"] == plan


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4), ("-0.5", -0.5), ("true", True), ("False", False), ("null", None), ("None", None),
        ("paper", "paper"), ("", ""), ("[0, 2]", (0, 2)), ("a=b", "a=b"), ("1e-3", 0.001),
    ],
)  # fmt: skip
def test_an_options_value_is_read(text, value, understood):
    line = shlex.join(["python", "-m", "ordlib.training", "corn", "dating", "--output", "x"])
    found = understood(f"{line} --option {shlex.quote('name=' + text)}")[-1]["options"]
    assert found == {"name": value}
    assert type(found["name"]) is type(value)


def test_rates_and_options_are_given_one_by_one(understood):
    line = "python -m ordlib.training numclip dating --output x --rate tower=0.1 --rate rest=2"
    more = understood(f"{line} --option kl=false --tower lora --option form=plain")[-1]
    assert more["plan"] == TrainingPlan(rates={"tower": 0.1, "rest": 2.0})
    assert more["options"] == {"kl": False, "form": "plain", "tower": "lora"}


@pytest.fixture
def call(tmp_path, monkeypatch, tiny_clip_folder):
    """Run the command on a few pictures."""

    def invoke(method: str, task: str, *more: str):
        words = [method, task, "--output", str(tmp_path / "out"), "--device", "cpu"]
        backbone = ["--backbone", str(tiny_clip_folder)]
        with monkeypatch.context() as patch:
            if task == "dating":
                patch.setattr(module, "load_data", noise)
            return CliRunner().invoke(app, [*words, *backbone, *more], color=True)

    return invoke


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["magic", "dating"], "method = 'magic': must be one of coop, corn, finetuned"),
        (["corn", "baking"], "no rendered task 'baking'; there are counting, dating, ageing"),
        (["corn", "dating", "--learning-rate", "nan"], "learning_rate = nan: must be above 0"),
        (["corn", "dating", "--epochs", "0"], "epochs = 0: must be above 0"),
        (["corn", "dating", "--metric", "loss"], "metric = 'loss': must be one of mae"),
        (["corn", "dating", "--rate", "tower"], "--rate tower: must be written NAME=VALUE"),
        (["corn", "dating", "--rate", "rest=x"], "--rate rest=x: 'x' must be a number"),
        (["corn", "dating", "--rate", "rest=nan"], "rates = {'rest': nan}: must not be negative"),
        (["corn", "dating", "--rate", "words=1"], "rates: no group 'words' is trained here"),
        (["corn", "dating", "--option", "kl"], "--option kl: must be written NAME=VALUE"),
        (["corn", "dating", "--option", "kl=true"], "option kl = True: corn has no such"),
        (["corn", "dating", "--option", "adapter=no"], "option adapter = 'no': must be bool"),
        (["numclip", "dating", "--option", "form=odd"], "form = 'odd': must be one of"),
        (["coop", "dating", "--option", "context=NaN"], "option context = nan: must be int"),
        (["l2rclip", "dating", "--words-first", "20"], "words_first = 20: must be 0 to 19, below"),
        (["l2rclip", "dating", "--words-first", "3"], "words_first = 3: the picture tower is"),
        (["l2rclip", "dating", "--option", "alpha=2.0"], "alpha = 2.0: must be 0 to 1"),
        (["corn", "dating", "--tower", "half"], "tower = 'half': must be 'frozen', 'lora'"),
        (["corn", "dating", "--device", "abacus"], "abacus"),
        (["corn", "dating", "--backbone", "nowhere/at/all"], "nowhere/at/all"),
        (["corn", "dating", "--learning-rate", "inf"], "epoch 1, batch 1 of 1"),
    ],
)
def test_an_error_is_one_red_line(words, told, call, tmp_path):
    found = call(*words)
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    assert told in found.stderr
    lines = [line for line in found.stderr.splitlines() if "\x1b[31m" in line]
    assert len(lines) == 1
    assert lines[0].endswith("\x1b[0m")
    assert "Traceback" not in found.output
    assert not (tmp_path / "out" / "config.json").exists()


def test_from_the_command_to_a_prediction(call, clip, tmp_path):
    found = call("numclip", "dating", "--epochs", "1", "--seed", "2", "--option", "kl=false")
    assert found.exit_code == 0, found.output
    model = load_component(tmp_path / "out", clip)
    assert model.options == replace(METHODS["numclip"].Options(), seed=2, kl=False)
    assert np.isfinite(model.predict(noise("dating", "test", 64)).value).all()
    assert f"{tmp_path / 'out'} holds the component (val mae " in found.stdout
    assert "--epochs 1 --seed 2 --option kl=false" in model.card["command"]


def test_a_metric_undefined_in_every_epoch_is_said(call, monkeypatch):
    metrics = dict.fromkeys(METRICS, 1.0) | {"spearman": float("nan")}
    monkeypatch.setattr("ordlib.training.shuffled.score", lambda *_: dict(metrics))
    with pytest.warns(UserWarning, match="spearman on val was undefined"):
        found = call("corn", "dating", "--epochs", "1", "--metric", "spearman")
    assert found.exit_code == 0, found.output
    assert "(val spearman undefined, " in found.stdout
