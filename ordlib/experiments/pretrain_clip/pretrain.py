"""A pretraining run, from the pool of pictures to the finished checkpoint."""

import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from transformers import CLIPModel

from ...utils.device import describe, pick_dtype
from ..runs import command_line
from .captioning import Captioner
from .checkpoint import check_free, save_checkpoint
from .config import Plan
from .image_pool import Pool, render_pool
from .loader import Batches
from .model import build_model
from .tokenizer import build_tokenizer
from .trainer import Trainer, Watch

# One process renders the pool; the others wait for it.
PATIENCE = timedelta(hours=12)


def pretrain(
    plan: Plan,
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
        plan: of the run.
        output: folder of the checkpoint, which is returned; it must not exist.
        save_minutes: time between two states.
        workers: processes that render and caption; None takes every core.
        watch: called after each step with the run's progress, by the main process.

    Raises:
        FileExistsError: there is such a folder.
        ValueError: a batch that the processes cannot share, a pool of no whole blocks, or the
            unfinished run of another plan beside ``output``.
        OSError: the disk cannot hold the pool.
        FloatingPointError: the training diverged.
    """
    output = Path(output)
    check_free(output)
    accelerator = Accelerator(
        mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)]
    )
    processes = accelerator.num_processes
    if plan.batch % processes:
        raise ValueError(f"{processes} processes cannot share batches of {plan.batch} evenly")
    with accelerator.local_main_process_first():
        pool = render_pool(plan.pictures, plan.size.side, workers)
    tokenizer = build_tokenizer(pool)
    model = build_model(plan.size, tokenizer, plan.seed)
    state = output.with_name(f"{output.name}.state.safetensors")
    run = asdict(plan) | {"pool": pool.folder.name}
    trainer = Trainer(plan, model, accelerator, state, run)
    captioner = Captioner(pool, tokenizer.backend_tokenizer, plan.dose, plan.spurious, plan.seed)
    share = {"rank": accelerator.process_index, "processes": processes}
    pin = accelerator.device.type == "cuda"
    batches = Batches(plan, captioner, **share, workers=workers, pin=pin)
    trainer.fit(batches, save_minutes, watch if accelerator.is_main_process else None)
    if accelerator.is_main_process:
        card = _card(plan, output.name, pool, trainer, model)
        save_checkpoint(output, model, tokenizer, card)
        state.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return output


def command(plan: Plan, output: str) -> str:
    """The command that makes a checkpoint.

    Example:
        >>> command(Plan(dose=0.5), "pico-clip-counts")
        'ordlib pretrain --count-caption-fraction 0.5 --seed 0 ... --output pico-clip-counts'
    """
    options = asdict(plan) | {"size": plan.size.name, "output": output}
    return command_line("pretrain", options=options.items())


def _card(plan: Plan, name: str, pool: Pool, trainer: Trainer, model: CLIPModel) -> dict:
    progress, device = trainer.progress, trainer.accelerator.device
    pairs = progress.step * plan.batch
    return {
        "name": name,
        "what": "A small CLIP trained by contrast on rendered pictures and captions in the "
        f"manner of alt text, of which {plan.dose:.1%} of those of counted objects state the "
        "true count.",
        "command": command(plan, name),
        "data": {
            "world": "half of it counting, the rest dating, ageing and quality, split 'pretrain'",
            "pool": pool.folder.name,
            "pictures": pool.size,
            "side": pool.side,
        },
        "dose": plan.dose,
        "counting_captions": {"number": progress.counted, "share_of_all": progress.counted / pairs},
        "spurious": plan.spurious,
        "seed": plan.seed,
        "steps": progress.step,
        "pairs": pairs,
        "batch": plan.batch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "logit_scale": round(model.logit_scale.exp().item(), 2),
        "losses": progress.losses[:: max(len(progress.losses) // 20, 1)],
        "precision": str(pick_dtype(plan.precision, device)).removeprefix("torch."),
        "device": describe(device),
        "processes": trainer.accelerator.num_processes,
        "seconds": round(progress.seconds, 1),
        "pairs_per_second": round(pairs / progress.seconds, 1),
        "share_waiting_for_data": round(progress.waited / progress.seconds, 4),
    }
