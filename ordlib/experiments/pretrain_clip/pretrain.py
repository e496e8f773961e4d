"""Pretrain a pico-clip, from the image pool to the final checkpoint."""

import hashlib
import json
import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from transformers import CLIPModel, CLIPTokenizer
from transformers.utils import logging

from ...clip.preprocessing import PROCESSOR
from ...utils.cache import atomic_write, writers_lock
from ...utils.device import device_description, pick_dtype, versions
from ...utils.reading import get_field, read_json
from ...utils.validation import check_count
from ..results import command_line
from .captioning import CaptionGenerator
from .config import PretrainingConfig
from .image_pool import ImagePool, render_pool
from .loader import PairLoader
from .model import build_model
from .tokenizer import build_tokenizer
from .trainer import StepCallback, Trainer

# One process renders the pool while the others wait.
RENDER_TIMEOUT = timedelta(hours=12)
DESCRIPTION = (
    "A small CLIP pretrained on rendered images with captions that imitate alt text; {:.1%} of the "
    "counting captions state the true count."
)
DATA_DESCRIPTION = "half of it counting, the rest dating, ageing and quality, split 'pretrain'"


def pretrain(
    config: PretrainingConfig, output: str | os.PathLike, *, checkpoint_minutes: float = 2.0,
    num_workers: int | None = None, on_step: StepCallback | None = None,
) -> Path:  # fmt: skip
    """Pretrain a pico-clip and save it as a checkpoint.

    The training state is kept in ``OUTPUT.state.safetensors``. After an interruption the same call
    resumes from it and, on a CPU, gives the same bits as an uninterrupted run. Under ``accelerate
    launch`` several processes share each batch.

    Args:
        config: hyperparameters.
        output: folder of the checkpoint, which is returned; must not exist.
        checkpoint_minutes: time between saved training states.
        num_workers: processes that render and caption; None for all cores.
        on_step: called with the training state after each step, in the main process.

    Raises:
        FileExistsError: ``output`` exists.
        ValueError: batch size not divisible by the number of processes, invalid pool size, or a
            training state of another config.
        OSError: not enough disk space for the pool.
        FloatingPointError: the training diverged.
    """
    if not checkpoint_minutes >= 0:
        raise ValueError(f"checkpoint_minutes = {checkpoint_minutes}: must be 0 or more")
    if num_workers is not None:
        check_count("num_workers", num_workers)
    output = Path(output)
    state_file = output.with_name(f"{output.name}.state.safetensors")
    if state_file.exists() and _command_of(output) == reproduce_command(config, output.name):
        # The process was killed when all was done but tidying up.
        with writers_lock(output.parent):
            state_file.unlink(missing_ok=True)
        return output
    require_new_dir(output)
    timeout = InitProcessGroupKwargs(timeout=RENDER_TIMEOUT)
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[timeout])
    world_size = accelerator.num_processes
    if config.batch_size % world_size:
        raise ValueError(
            f"batch_size = {config.batch_size}: must be a multiple of the {world_size} processes"
        )
    with accelerator.local_main_process_first():
        pool = render_pool(config.num_images, config.size.image_size, num_workers)
    tokenizer = build_tokenizer(pool)
    model = build_model(config.size, tokenizer, config.seed)
    run = asdict(config) | {"pool": pool.folder.name}
    trainer = Trainer(config, model, accelerator, state_file, run)
    captioner = CaptionGenerator(
        pool, tokenizer.backend_tokenizer, config.count_caption_fraction,
        config.distractor_number_fraction, config.seed,
    )  # fmt: skip
    pin_memory = accelerator.device.type == "cuda"
    rank = accelerator.process_index
    loader = PairLoader(config, captioner, rank, world_size, num_workers, pin_memory)
    trainer.fit(loader, checkpoint_minutes, on_step if accelerator.is_main_process else None)
    if accelerator.is_main_process:
        card = _card(config, output.name, pool, trainer, model)
        save_checkpoint(output, model, tokenizer, card)
        state_file.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return output


def reproduce_command(config: PretrainingConfig, output: str) -> str:
    """Return the shell command that pretrains a checkpoint again.

    Example:
        >>> reproduce_command(PretrainingConfig(count_caption_fraction=0.5), "pico-clip-counts")
        'ordlib pretrain --count-caption-fraction 0.5 --seed 0 ... --output pico-clip-counts'
    """
    options = asdict(config) | {"size": config.size.name, "output": output}
    return command_line("pretrain", options=options.items())


def _command_of(checkpoint: Path) -> str | None:
    """The command on the card of a checkpoint; None if there is none."""
    try:
        return get_field(read_json(checkpoint / "card.json"), "command", str)
    except (OSError, ValueError):
        return None


def _card(
    config: PretrainingConfig, name: str, pool: ImagePool, trainer: Trainer, model: CLIPModel
) -> dict:
    state, device = trainer.state, trainer.accelerator.device
    samples_seen = state.step * config.batch_size
    count = state.num_count_captions
    return {
        "name": name,
        "description": DESCRIPTION.format(config.count_caption_fraction),
        "command": reproduce_command(config, name),
        "data": {
            "description": DATA_DESCRIPTION,
            "pool_id": pool.folder.name, "num_images": pool.size, "image_size": pool.image_size,
        },
        "count_caption_fraction": config.count_caption_fraction,
        "count_captions": {"count": count, "fraction": count / samples_seen},
        "distractor_number_fraction": config.distractor_number_fraction,
        "seed": config.seed, "steps": state.step, "samples_seen": samples_seen,
        "batch_size": config.batch_size,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "logit_scale": round(model.logit_scale.exp().item(), 2),
        "train_loss": state.losses[:: max(len(state.losses) // 20, 1)],
        "precision": str(pick_dtype(config.precision, device)).removeprefix("torch."),
        "device": device_description(device), "world_size": trainer.accelerator.num_processes,
        "train_seconds": round(state.seconds, 1),
        "samples_per_second": round(samples_seen / state.seconds, 1),
        "data_wait_fraction": round(state.data_wait_seconds / state.seconds, 4),
    }  # fmt: skip


def save_checkpoint(folder: Path, model: CLIPModel, tokenizer: CLIPTokenizer, card: dict) -> None:
    """Save a half-precision checkpoint that ``load_clip`` and transformers load.

    The model is rounded in place, except for ``logit_scale``. Library versions and the sha256 of
    the weights are added to the card.
    """
    require_new_dir(folder)
    image_size = model.config.vision_config.image_size
    model = model.eval().half()
    # Rounding would be visible: exp(4.605) in half precision is not 100.
    model.logit_scale.data = model.logit_scale.data.float()
    with atomic_write(folder) as temporary:
        _save_without_progress_bar(model, temporary)
        tokenizer.save_pretrained(temporary)
        crop = {"height": image_size, "width": image_size}
        PROCESSOR(size={"shortest_edge": image_size}, crop_size=crop).save_pretrained(temporary)
        weights = (temporary / "model.safetensors").read_bytes()
        card = card | {"versions": versions(), "sha256": hashlib.sha256(weights).hexdigest()}
        (temporary / "card.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def require_new_dir(folder: Path) -> None:
    """Raise ``FileExistsError`` if the folder exists: checkpoints are never overwritten."""
    if folder.exists():
        raise FileExistsError(f"output = {folder}: exists already; give another folder or move it")


def _save_without_progress_bar(model: CLIPModel, folder: Path) -> None:
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if enabled:
            logging.enable_progress_bar()
