"""A backbone of ViT-B/32's geometry; the weights are random, for nothing is downloaded here."""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from ordlib.clip import ClipBackbone, load_clip
from tests.clips import build_vit_b_32


def vit_b_32(texts: Iterable[str]) -> ClipBackbone:
    """Return one that spends a token on each word of the texts, as OpenAI's vocabulary does."""
    words = sorted({word for text in texts for word in re.findall("[a-z]+", text)})
    with TemporaryDirectory() as folder:
        return load_clip(build_vit_b_32(Path(folder) / "vit-b-32", words))
