"""The finished pico-clip on disk: an ordinary checkpoint with a card."""

import hashlib
import json
from pathlib import Path

from transformers import CLIPModel, CLIPTokenizer
from transformers.utils import logging

from ...clip.preprocessing import PROCESSOR
from ...utils.cache import atomic_write
from ...utils.device import versions


def save_checkpoint(folder: Path, model: CLIPModel, tokenizer: CLIPTokenizer, card: dict) -> None:
    """Write a checkpoint that ``load_clip`` and transformers load, in half precision.

    The weights are rounded in place, but for the scale; library versions and their sha256 are
    added to the card. A ``FileExistsError`` says that there is such a folder.
    """
    require_new_dir(folder)
    side = model.config.vision_config.image_size
    model = model.eval().half()
    # A rounded exponent would show: e ** 4.605 in half precision is not 100.
    model.logit_scale.data = model.logit_scale.data.float()
    with atomic_write(folder) as temporary:
        _save_quietly(model, temporary)
        tokenizer.save_pretrained(temporary)
        sides = {"height": side, "width": side}
        PROCESSOR(size={"shortest_edge": side}, crop_size=sides).save_pretrained(temporary)
        weights = (temporary / "model.safetensors").read_bytes()
        card = card | {"versions": versions(), "sha256": hashlib.sha256(weights).hexdigest()}
        (temporary / "card.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def require_new_dir(folder: Path) -> None:
    """Raise ``FileExistsError`` if there is such a folder: a checkpoint is never overwritten."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: give another --output, or move it away")


def _save_quietly(model: CLIPModel, folder: Path) -> None:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()
