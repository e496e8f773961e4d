"""Predict an image folder in chunks, by any number of processes and hosts; resumes."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .. import __version__
from ..components.io import pack
from ..data.image_files import FileScan
from ..utils.shared_folder import SharedFolder
from .chunks import (
    Shard,
    find_chunks,
    join_chunks,
    missing_chunks,
    planned_chunks,
    scan_shard,
    write_chunk,
)
from .predict import FilePredictions, FilePredictor

if TYPE_CHECKING:
    from ..methods.base import TrainableModule


def predict_in_chunks(
    model: "TrainableModule",
    folder: str | os.PathLike,
    chunks: SharedFolder,
    *,
    rank: int = 0,
    world_size: int = 1,
    confidence_level: float = 0.9,
    task: str | None = None,
    bit_depth: int | None = None,
    **options: Any,
) -> FilePredictions | None:
    """Predict the images of one of several processes; the last process returns those of all.

    The images of a folder are divided by the hash of their path into chunks of at most 1,024. Each
    chunk is a file that is written atomically, and named by a hash of the model, the options, and
    the names, sizes and times of its images: a finished one is not computed again, and one of other
    inputs is. Processes share nothing but the folder of chunks. Their number does not change the
    chunks, so that it may be another one after an interruption.

    Args:
        model: a trained method.
        folder: image folder; the same images in all processes.
        chunks: entered folder of the chunks. Whoever gets the predictions deletes it.
        rank, world_size: number of this process, and number of processes.
        confidence_level, task, bit_depth, options: as for :func:`predict_files`. Images with more
            than 8 bits need ``bit_depth``, since a process sees only its own.

    Returns:
        Predictions as of :func:`predict_files`, or None if other processes are at work, or have not
        finished their chunks.

    Raises:
        ValueError: an image needs ``bit_depth``; other processes use another model or options; a
            chunk is damaged; images have changed meanwhile.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from ordlib import load_component
        >>> folder, model = tempfile.mkdtemp(), load_component("numclip-counting")
        >>> Image.new("RGB", (96, 96), "navy").save(f"{folder}/a.png")
        >>> with SharedFolder(f"{folder}.chunks") as chunks:
        ...     predictions = predict_in_chunks(model, folder, chunks)
        ...     chunks.delete()
        >>> len(predictions)
        1
    """
    predictor = FilePredictor(model, task, confidence_level, bit_depth, options)
    if chunks.path.resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(f"chunks: {chunks.path} is in the image folder; give a folder outside")
    description = _describe(predictor)
    text = json.dumps(description, sort_keys=True)
    shard = scan_shard(os.fspath(folder), rank, world_size)
    images = hashlib.sha256(repr((shard.counts, shard.digests)).encode()).hexdigest()
    chunks.claim(description | {"images": images})
    _predict_shard(predictor, shard, chunks.path, text)
    if not chunks.is_last():
        return None
    # Only now, since another process may have written its last chunk until it ended its work.
    missing = {bucket for bucket, _ in missing_chunks(chunks.path, shard)}
    if missing and missing.isdisjoint(shard.buckets):
        return None
    table, errors = join_chunks(chunks.path, shard, text)
    return predictor.result(table, shard.skipped | errors, shard.ignored, bit_depth)


def _describe(predictor: FilePredictor) -> dict[str, Any]:
    """What determines the rows of an image. The batch size, which may be lowered, does not."""
    model = predictor.model
    config = json.loads(json.dumps(model.config()))
    clip = model.clip
    if clip is not None:
        del config["backbone"]["name"]  # A path may be another one on another host.
    return {
        "model": hashlib.sha256(pack(model.saved_state_dict())).hexdigest(),
        "config": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "task": predictor.task.name,
        "confidence_level": predictor.confidence_level,
        "bit_depth": predictor.bit_depth,
        "options": {k: repr(v) for k, v in predictor.options.items() if k != "batch_size"},
        "device": clip and clip.device.type,
        "dtype": clip and str(clip.dtype),
        "ordlib": __version__,
    }


def _predict_shard(predictor: FilePredictor, shard: Shard, chunks: Path, description: str) -> None:
    """Write the chunks of a process that do not exist; delete those of other inputs."""
    found = find_chunks(chunks, shard)
    total = sum(map(len, shard.buckets.values()))
    with tqdm(None, "predicting", total, leave=False, delay=2, unit="image") as bar:
        for bucket in shard.buckets:
            planned = planned_chunks(chunks, shard, description, bucket)
            for key in [key for key in found if key[0] == bucket]:
                for path in found[key]:
                    if path not in planned:
                        path.unlink(missing_ok=True)
            for path, names in planned.items():
                if not path.exists():
                    _predict_chunk(predictor, shard, path, names)
                bar.update(len(names))


def _predict_chunk(predictor: FilePredictor, shard: Shard, path: Path, names: list[str]) -> None:
    scan, processor = FileScan(), predictor.processor()
    paths = shard.paths(names)
    for image in paths:
        scan.add_image(image)
    table = processor.run(scan.files)
    if processor.deep_file and predictor.bit_depth is None:
        raise ValueError(
            f"{processor.deep_file}: has more than 8 bits per channel; several processes and "
            "--chunks need --bit-depth, since the depths of the other images are not known"
        )
    problems = scan.skipped | processor.errors
    errors = {name: problems[p] for name, p in zip(names, paths, strict=True) if p in problems}
    write_chunk(path, names, table, errors)
