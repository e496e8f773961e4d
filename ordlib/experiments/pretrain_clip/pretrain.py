"""A pretraining run, from the pool of pictures to the finished checkpoint."""

import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from transformers import CLIPModel

from ...utils.device import device_description, pick_dtype
from ..runs import command_line
from .captioning import CaptionGenerator
from .checkpoint import require_new_dir, save_checkpoint
from .config import PretrainingConfig
from .image_pool import ImagePool, render_pool
from .loader import PairLoader
from .model import build_model
from .tokenizer import build_tokenizer
from .trainer import Trainer, Watch

# One process renders the pool; the others wait for it.
RENDER_TIMEOUT = timedelta(hours=12)


def pretrain(
    config: PretrainingConfig,
    output: str | os.PathLike,
    *,
    save_minutes: float = 2.0,
    workers: int | None = None,
    watch: Watch | None = None,
) -> Path:
    """Pretrain a pico-clip and store it as a checkpoint.

    The unfinished run lies beside ``output``, in a file of that name that ends in
    ``.state.safetensors``. Asked for again, it goes on from there and, on a CPU, ends in the same
    bits as an uninterrupted one. Started by ``accelerate launch`` in several processes, these
    share each batch.

    Args:
        config: of the run.
        output: folder of the checkpoint, which is returned; it must not exist.
        save_minutes: time between two states.
        workers: processes that render and caption; None takes every core.
        watch: called after each step with the run's progress, by the main process.

    Raises:
        FileExistsError: there is such a folder.
        ValueError: a batch that the processes cannot share, a pool of no whole blocks, or the
            unfinished run of another config beside ``output``.
        OSError: the disk cannot hold the pool.
        FloatingPointError: the training diverged.
    """
    output = Path(output)
    require_new_dir(output)
    accelerator = Accelerator(
        mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=RENDER_TIMEOUT)]
    )
    processes = accelerator.num_processes
    if config.batch_size % processes:
        raise ValueError(
            f"{processes} processes cannot share batches of {config.batch_size} evenly"
        )
    with accelerator.local_main_process_first():
        pool = render_pool(config.num_images, config.size.image_size, workers)
    tokenizer = build_tokenizer(pool)
    model = build_model(config.size, tokenizer, config.seed)
    state = output.with_name(f"{output.name}.state.safetensors")
    run = asdict(config) | {"pool": pool.folder.name}
    trainer = Trainer(config, model, accelerator, state, run)
    captioner = CaptionGenerator(
        pool,
        tokenizer.backend_tokenizer,
        config.count_caption_fraction,
        config.distractor_number_fraction,
        config.seed,
    )
    share = {"rank": accelerator.process_index, "processes": processes}
    pin = accelerator.device.type == "cuda"
    batches = PairLoader(config, captioner, **share, workers=workers, pin=pin)
    trainer.fit(batches, save_minutes, watch if accelerator.is_main_process else None)
    if accelerator.is_main_process:
        card = _card(config, output.name, pool, trainer, model)
        save_checkpoint(output, model, tokenizer, card)
        state.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return output


def reproduce_command(config: PretrainingConfig, output: str) -> str:
    """The command that makes a checkpoint.

    Example:
        >>> reproduce_command(PretrainingConfig(count_caption_fraction=0.5), "pico-clip-counts")
        'ordlib pretrain --count-caption-fraction 0.5 --seed 0 ... --output pico-clip-counts'
    """
    options = asdict(config) | {"size": config.size.name, "output": output}
    return command_line("pretrain", options=options.items())


def _card(
    config: PretrainingConfig, name: str, pool: ImagePool, trainer: Trainer, model: CLIPModel
) -> dict:
    progress, device = trainer.progress, trainer.accelerator.device
    pairs = progress.step * config.batch_size
    return {
        "name": name,
        "description": "A small CLIP trained by contrast on rendered pictures and captions in the "
        f"manner of alt text, of which {config.count_caption_fraction:.1%} of those of counted objects state the "
        "true count.",
        "command": reproduce_command(config, name),
        "data": {
            "description": "half of it counting, the rest dating, ageing and quality, split 'pretrain'",
            "pool_id": pool.folder.name,
            "num_images": pool.size,
            "image_size": pool.image_size,
        },
        "count_caption_fraction": config.count_caption_fraction,
        "count_captions": {"count": progress.counted, "fraction": progress.counted / pairs},
        "distractor_number_fraction": config.distractor_number_fraction,
        "seed": config.seed,
        "steps": progress.step,
        "samples_seen": pairs,
        "batch_size": config.batch_size,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "logit_scale": round(model.logit_scale.exp().item(), 2),
        "train_loss": progress.losses[:: max(len(progress.losses) // 20, 1)],
        "precision": str(pick_dtype(config.precision, device)).removeprefix("torch."),
        "device": device_description(device),
        "world_size": trainer.accelerator.num_processes,
        "train_seconds": round(progress.seconds, 1),
        "samples_per_second": round(pairs / progress.seconds, 1),
        "data_wait_fraction": round(progress.data_wait_seconds / progress.seconds, 4),
    }
