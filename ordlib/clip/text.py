"""Tokenized prompts, and their embeddings.

CLIP's attention is causal: tokens behind the end-of-sequence (EOS) token do not affect the
features. Prompts are therefore padded to the longest of the batch instead of CLIP's 77 positions,
which is exact and several times faster. Derived in notebook 03. An encoder whose attention is not
causal, as SigLIP's, replaces what stands behind the EOS token by the padding of its training.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerBase


class TokenizedPrompts(NamedTuple):
    """Token ids of M prompts.

    Attributes:
        ids: ``(M, T)`` int64, padded with the EOS token.
        mask: ``(M, T)`` bool, True up to and including the first EOS token.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class PromptEmbeddings(NamedTuple):
    """Token embeddings of M prompts, the input of the text encoder.

    Attributes:
        embeddings: ``(M, T, W)`` float32, without positional embeddings.
        eos_positions: ``(M,)`` int64 position of each EOS token.
        mask: ``(M, T)`` bool, True up to and including the EOS token.
    """

    embeddings: torch.Tensor
    eos_positions: torch.Tensor
    mask: torch.Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], context_length: int
) -> TokenizedPrompts:
    """Tokenize prompts on the CPU, padded to the longest.

    Raises:
        ValueError: no prompts, a prompt that is too long, or one with an unknown character.

    Example:
        >>> from transformers import CLIPTokenizer
        >>> tokens = ["a</w>", "b</w>", "c</w>", "<|startoftext|>", "<|endoftext|>"]
        >>> vocabulary = {token: i for i, token in enumerate(tokens)}
        >>> tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
        >>> tokenize(tokenizer, ["a c", "a b c"], context_length=77).ids
        tensor([[3, 0, 2, 4, 4],
                [3, 0, 1, 2, 4]])
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise ValueError("prompts = []: no prompts to tokenize")
    for prompt in prompts:
        if not _is_utf8(prompt):
            raise ValueError(
                f"prompt {prompt!r} has bytes that are not text; use a terminal with UTF-8"
            )
    rows = tokenizer(prompts, padding=False, truncation=False, verbose=False)["input_ids"]
    for prompt, row in zip(prompts, rows, strict=True):
        if len(row) > context_length:
            raise ValueError(
                f"prompt {prompt!r} takes {len(row)} tokens, including start and end; the context "
                f"of this CLIP holds {context_length}. Shorten it"
            )
        if tokenizer.eos_token_id not in row:
            raise ValueError(
                "the tokenizer puts no EOS token behind a prompt; save it with add_eos_token=True"
            )
        if row.index(tokenizer.eos_token_id) != len(row) - 1:
            raise ValueError(
                f"prompt {prompt!r} contains a character that the tokenizer does not know (or the "
                "EOS token): the text behind it would be lost. Remove it"
            )
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, tokenizer.eos_token_id)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    return TokenizedPrompts(ids, mask)


def _is_utf8(text: str) -> bool:
    """Whether a text has no undecodable bytes, as those of a terminal in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
