"""Reading of image files: photographs of 12 megapixels, workers, and the share of waiting."""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity
from torch.utils.data import DataLoader, Dataset

from ordlib import CORN, ImageData, RankingAdapter, load_clip, load_task
from ordlib.clip import ClipBackbone, feature_cache
from ordlib.clip.feature_cache import open_image_tokens
from ordlib.data.image_index import inspect_images
from ordlib.data.image_io import load_image
from ordlib.synthetic.photos import SCENES, photograph
from ordlib.training import TrainingConfig
from ordlib.training.ranking_trainer import RankingTrainer
from ordlib.training.trainer import OrdinalTrainer
from ordlib.utils.threads import prefetch

from .tools import empty_cache, peak_memory, process_mib, vit_b_32

BATCH_SIZE = 64


def large_jpegs(num_images: int = 300, size: tuple[int, int] = (4000, 3000)) -> pd.DataFrame:
    """Reading of 300 JPEG files of 4000 x 3000 pixels: full decoding against draft, and workers."""
    clip = load_clip("pico-clip", "cpu")
    with empty_cache() as folder:
        data = photographs(folder, num_images, size)
        readers = {
            "full decoding, batch by batch": partial(_read_fully, clip, data),
            "ordlib, threads": partial(_read_batches, clip, data),
            "DataLoader, 2 workers": partial(_read_with_workers, clip, data),
        }
        rows, features = [], {}
        for name, read in readers.items():
            start = perf_counter()
            mib, features[name] = peak_memory(partial(_encode, clip, read))
            seconds = perf_counter() - start
            row = {"images/s": round(num_images / seconds, 1), "MiB": round(mib)}
            reference = next(iter(features.values()))
            cosine = cosine_similarity(features[name], reference).min().item()
            rows.append({"reader": name, **row, "min cosine": round(cosine, 5)})
    return pd.DataFrame(rows)


def checking(num_images: int = 10_000, size: tuple[int, int] = (640, 480)) -> pd.DataFrame:
    """Check of 10,000 JPEG files of 640 x 480 pixels at load: header, decoding, known content."""
    rows = []
    with empty_cache() as folder:
        files = photographs(folder, num_images, size).images
        for name, decode in (("header", False), ("decode", True), ("decode again", True)):
            start = perf_counter()
            reports = inspect_images(files, decode)
            assert not any(report.error for report in reports)
            rows.append({"check": name, "images": num_images, "s": perf_counter() - start})
    return pd.DataFrame(rows).round(1)


def waiting(num_images: int = 256, size: tuple[int, int] = (1024, 768)) -> pd.DataFrame:
    """LoRA training on 1024 x 768 JPEG files: share of an epoch that waits for data."""
    clip = load_clip("pico-clip", "cpu")
    with empty_cache() as folder:
        data, rows = photographs(folder, num_images, size), range(num_images)
        seconds = {}
        for source in ("files", "memory"):
            model = CORN(clip, data.task, image_encoder="lora")
            trainer = OrdinalTrainer(model, data, data, TrainingConfig(epochs=1), None)
            trainer._load_data()
            if source == "memory":
                pixels = clip.load_pixels(data, rows)
                trainer.loader = pixels.__getitem__
            start = perf_counter()
            trainer._train_epoch()
            seconds[source] = perf_counter() - start
        share = 1 - seconds["memory"] / seconds["files"]
    return pd.DataFrame([{f"s from {k}": round(s, 1) for k, s in seconds.items()}]).assign(
        **{"share waiting": round(share, 2)}
    )


def tokens(num_images: int = 10_000) -> pd.DataFrame:
    """Image tokens of ViT-B/32 shape, 10,000 images: peak memory of training and scoring, MiB."""
    rows, task = [], load_task("counting")
    with empty_cache():
        clip = vit_b_32(["number"])
        images = np.arange(num_images, dtype=np.int32).view(np.uint8).reshape(-1, 1, 4, 1)
        data = ImageData(
            task=task, images=images, values=np.resize(task.rank_values, num_images),
            metadata=pd.DataFrame(index=range(num_images)), fingerprint="", split="train",
        )  # fmt: skip
        adapter = RankingAdapter(clip, task, prompt_templates={"counting": ["the number"]})
        _fill_store(clip, data, shape=(1 + clip.grid_size**2, clip.embed_dim))
        trainer = RankingTrainer(adapter, data, data, TrainingConfig(batch_size=64), None)
        trainer._load_data()
        batch = trainer._batches(0)[0]
        jobs = {
            "all tokens in memory": lambda: adapter.image_tokens(data),
            "ten training batches": lambda: [trainer._collate(batch) for _ in range(10)],
            "OOD features of all": lambda: adapter._ood_features(data),
        }
        for job, function in jobs.items():
            rows.append({"job": job, "anonymous MiB": round(_peak_anonymous_mib(function))})
    return pd.DataFrame(rows)


def _fill_store(clip: ClipBackbone, data: ImageData, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    with patch.object(feature_cache, "_encode"):
        store = open_image_tokens(clip, data)._store
    size = store.max_images(np.empty((1, *shape), np.float16))
    for start in range(0, len(data), size):
        keys = data.image_keys[start : start + size]
        store.add(keys, rng.normal(size=(len(keys), *shape)).astype(np.float16))


def _peak_anonymous_mib(function: Callable[[], object]) -> float:
    """Memory that the process allocates; pages of mapped files, which the system may drop, not."""
    gc.collect()
    start, peak, done = process_mib("RssAnon"), [0.0], Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak.append(process_mib("RssAnon") - start)

    watcher = Thread(target=watch)
    watcher.start()
    result = function()
    peak.append(process_mib("RssAnon") - start)
    done.set()
    watcher.join()
    del result
    return max(peak)


def _encode(clip: ClipBackbone, read: Callable[[], Iterator[torch.Tensor]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([clip.image_features(pixels) for pixels in read()])


def _read_fully(clip: ClipBackbone, data: ImageData) -> Iterator[torch.Tensor]:
    for start in range(0, len(data), BATCH_SIZE):
        files = data.images[start : start + BATCH_SIZE]
        yield clip.preprocess([load_image(file) for file in files])


def _read_batches(clip: ClipBackbone, data: ImageData) -> Iterator[torch.Tensor]:
    rows = range(len(data))
    batches = [rows[start : start + BATCH_SIZE] for start in rows[::BATCH_SIZE]]
    yield from prefetch(partial(clip.load_pixels, data), batches)


class _Pixels(Dataset):
    def __init__(self, clip: ClipBackbone, data: ImageData) -> None:
        self.preprocessor, self.data = clip.preprocessor, data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> np.ndarray:
        image = self.data.load(row, self.preprocessor.min_side)
        return self.preprocessor.resize_image(image).copy()


def _read_with_workers(clip: ClipBackbone, data: ImageData) -> Iterator[torch.Tensor]:
    loader = DataLoader(_Pixels(clip, data), BATCH_SIZE, num_workers=2, collate_fn=list)
    for arrays in loader:
        yield clip.preprocessor.normalize(arrays, clip.device)


def photographs(folder: Path, num_images: int, size: tuple[int, int]) -> ImageData:
    """JPEG files of enlarged photographs with noise, each file with content of its own."""
    rng, files = np.random.default_rng(0), []
    names = [scene.name for scene in SCENES]
    for number in range(num_images):
        file = folder / f"{number:05d}.jpg"
        if number < len(names):
            photo = photograph(names[number]).convert("RGB").resize(size)
            noise = rng.normal(0, 6, (size[1], size[0], 3))
            array = (np.asarray(photo) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(array).save(file, quality=90)
        else:
            # Bytes after the image do not change it, but the hash of the file.
            content = (folder / f"{number % len(names):05d}.jpg").read_bytes()
            file.write_bytes(content + number.to_bytes(4, "big"))
        files.append(file)
    task = load_task("counting")
    return ImageData(
        task=task,
        images=files,
        values=np.resize(task.rank_values, num_images),
        metadata=pd.DataFrame({"path": [file.name for file in files]}),
        fingerprint="photographs",
        split="train",
    )
