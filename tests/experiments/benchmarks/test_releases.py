"""The benchmark against the released codes' forms: equal results, records, command."""

import json

import pytest
import torch
from commands import run

from ordlib import losses
from ordlib.experiments.benchmarks import release_forms, releases
from ordlib.methods.ranking_adapter.network import RankingAdapterNetwork


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(releases, "BATCH_SIZES", (6,))
    monkeypatch.setattr(releases, "NUMS_IMAGES", (3,))
    monkeypatch.setattr(releases, "NUM_PATCHES", 4)
    monkeypatch.setattr(releases, "ADAPTER_WIDTH", 16)
    monkeypatch.setattr(releases, "NUMS_TEXT_TOKENS", (5,))


def test_results_make_releases_writes_one_record_per_function_and_size(small, tmp_path):
    path = tmp_path / "table.json"
    assert run("results", "make", "releases", "--output", path).output == f"wrote {path}\n"
    stored = json.loads(path.read_text("utf-8"))
    assert stored["torch"] == torch.__version__
    names = [record["function"] for record in stored["records"]]
    assert len(names) == len(set(names)) == 11
    for record in stored["records"]:
        assert record["max_difference"] < 1e-5
        ratio = record["seconds_release"] / record["seconds_ordlib"]
        assert record["times_faster"] == pytest.approx(ratio, rel=0.02, abs=0.006)
        assert record["threads"] == 1
    assert stored["records"][-1]["batch_size"] == 3


def test_benchmark_refuses_different_results(small, monkeypatch):
    plain = losses.fcrc
    monkeypatch.setattr(losses, "fcrc", lambda logits, bins, form: plain(logits, bins, "plain"))
    with pytest.raises(AssertionError, match="FCRC, 5 bins, 6 images: results differ by"):
        releases.records(1)


def test_released_adapter_equals_network_in_float64():
    torch.manual_seed(0)
    network = RankingAdapterNetwork(24, 24).double().eval()
    reference = release_forms.AdapterNetwork(network).double().eval()
    inputs = torch.randn(4, 5, 24).double(), torch.randn(3, 24).double(), torch.randn(4).double()
    results = []
    for net, loss in ((network, releases._ordlib_loss), (reference, releases._released_loss)):
        value, parameters = loss(net, *inputs), dict(net.named_parameters())
        gradients = torch.autograd.grad(value, list(parameters.values()))
        results.append({"loss": value, **dict(zip(parameters, gradients, strict=True))})
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)
