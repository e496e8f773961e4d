"""CLIP's text tower from inside: tokens, word embeddings, and features with gradient to them.

The tower is causal: what follows the end token cannot change the result. So prompts are cut
to the longest one alive instead of being padded to CLIP's 77 positions, which is exact and
several times faster.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import CLIPModel, PreTrainedTokenizerBase


class Tokens(NamedTuple):
    """Token numbers of some prompts.

    Attributes:
        ids: ``(M, T)`` int64, padded behind the end token.
        mask: ``(M, T)`` bool, True up to and including the end token.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class Words(NamedTuple):
    """Word embeddings of some prompts: what the text tower reads.

    Attributes:
        embeddings: ``(M, T, W)`` float32, without positions.
        end_positions: ``(M,)`` int64, where each prompt's end token stands.
        mask: ``(M, T)`` bool, True up to and including the end token.
    """

    embeddings: torch.Tensor
    end_positions: torch.Tensor
    mask: torch.Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], context_length: int
) -> Tokens:
    """Turn prompts into token numbers, no longer than the longest of them.

    Args:
        tokenizer: a CLIP tokenizer.
        prompts: M strings.
        context_length: most positions that the text tower has.

    Returns:
        The tokens, on the CPU.

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
    return Tokens(ids, mask)


def encode_embeddings(model: CLIPModel, embeddings: torch.Tensor) -> torch.Tensor:
    """Run the text tower on word embeddings.

    transformers' text model takes token numbers only, so its parts are called one by one.
    The causal mask is explicit: ``is_causal=True`` alone is ignored by eager attention.

    Args:
        model: a CLIP model.
        embeddings: ``(M, T, W)`` in the model's dtype, without positions.

    Returns:
        ``(M, T, W)`` tokens after the final layer norm, not projected.

    Example:
        >>> from transformers import CLIPConfig
        >>> small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        >>> text, vision = {**small, "vocab_size": 9}, {**small, "image_size": 32}
        >>> model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision))
        >>> encode_embeddings(model, torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """
    tower = model.text_model
    hidden = tower.embeddings(inputs_embeds=embeddings)
    length = hidden.shape[1]
    mask = torch.full((length, length), float("-inf"), dtype=hidden.dtype, device=hidden.device)
    mask = mask.triu(1).expand(len(hidden), 1, length, length)
    hidden = tower.encoder(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
    return tower.final_layer_norm(hidden)
