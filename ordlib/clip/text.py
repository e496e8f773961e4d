"""CLIP's text tower from inside: tokens, word embeddings, and features with gradient to them.

The tower is causal: what follows the end token cannot change the result. So prompts are cut
to the longest one alive instead of being padded to CLIP's 77 positions, which is exact and
several times faster.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import CLIPModel, PreTrainedTokenizerBase


class TokenizedPrompts(NamedTuple):
    """Token numbers of some prompts.

    Attributes:
        ids: ``(M, T)`` int64, padded behind the end token.
        mask: ``(M, T)`` bool, True up to and including the end token.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class PromptEmbeddings(NamedTuple):
    """Word embeddings of some prompts: what the text tower reads.

    Attributes:
        embeddings: ``(M, T, W)`` float32, without positions.
        eos_positions: ``(M,)`` int64, where each prompt's end token stands.
        mask: ``(M, T)`` bool, True up to and including the end token.
    """

    embeddings: torch.Tensor
    eos_positions: torch.Tensor
    mask: torch.Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], context_length: int
) -> TokenizedPrompts:
    """Token numbers of prompts, on the CPU, no longer than the longest prompt.

    Raises:
        ValueError: no prompts, a prompt too long, or one with a sign the tokenizer lacks.

    Example:
        >>> from transformers import CLIPTokenizer
        >>> words = ["a</w>", "b</w>", "c</w>", "<|startoftext|>", "<|endoftext|>"]
        >>> numbers = {word: i for i, word in enumerate(words)}
        >>> tokenizer = CLIPTokenizer(vocab=numbers, merges=[])
        >>> tokenize(tokenizer, ["a c", "a b c"], context_length=77).ids
        tensor([[3, 0, 2, 4, 4],
                [3, 0, 1, 2, 4]])
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise ValueError("there are no prompts to tokenize")
    rows = tokenizer(prompts, padding=False, truncation=False, verbose=False)["input_ids"]
    for prompt, row in zip(prompts, rows, strict=True):
        if len(row) > context_length:
            raise ValueError(
                f"the prompt {prompt!r} takes {len(row)} tokens, start and end included; the "
                f"context of this CLIP holds {context_length}. Shorten it"
            )
        if row.index(tokenizer.eos_token_id) != len(row) - 1:
            raise ValueError(
                f"the prompt {prompt!r} has a sign that the tokenizer does not know (or the end "
                "token spelled out): everything behind it would be lost. Leave it out"
            )
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, tokenizer.eos_token_id)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    return TokenizedPrompts(ids, mask)


def encode_embeddings(model: CLIPModel, embeddings: torch.Tensor) -> torch.Tensor:
    """Text tower on word embeddings ``(M, T, W)``, in the model's dtype and without positions.

    Returns:
        ``(M, T, W)`` tokens after the final layer norm, not projected.
    """
    # transformers' text model takes token numbers only, so its parts are called one by one.
    tower = model.text_model
    hidden = tower.embeddings(inputs_embeds=embeddings)
    length = hidden.shape[1]
    # The causal mask is explicit: ``is_causal=True`` alone is ignored by eager attention.
    mask = torch.full((length, length), float("-inf"), dtype=hidden.dtype, device=hidden.device)
    mask = mask.triu(1).expand(len(hidden), 1, length, length)
    hidden = tower.encoder(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
    return tower.final_layer_norm(hidden)
