"""Prompts padded to the whole context, as most code has them: what cutting is held against."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.functional import pad

from ordlib.methods.prompt_learner import PromptLearner


@contextmanager
def padded(prompts: PromptLearner) -> Iterator[None]:
    """Lay prompts out over all positions, so that the text tower reads every one of them."""
    layout = prompts.layout
    missing = prompts.clip.context_length - layout.shape[1]
    # Row 1 is the end token, which stands behind short prompts anyway.
    prompts.layout = pad(layout, (0, missing), value=1)
    try:
        yield
    finally:
        prompts.layout = layout
