"""Fast checksum of a model's weights in memory, the same on every device."""

import hashlib

import torch
from torch import nn

BLOCK_BYTES, BLOCKS_AT_ONCE = 8192, 1024


def checksum(model: nn.Module) -> str:
    """Hash of names, types and sums of all weights, also of the statistics of batch norms."""
    weights = dict(model.named_parameters())
    weights |= {name: t for name, t in model.state_dict().items() if name not in weights}
    description = [(name, t.dtype, tuple(t.shape)) for name, t in weights.items()]
    sums = torch.cat([_block_sums(t.detach()) for t in weights.values()]).cpu().numpy()
    return hashlib.blake2b(repr(description).encode() + sums.tobytes()).hexdigest()[:32]


def _block_sums(weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums of blocks of eight-byte words, modulo 2**64; of bytes for the rest.

    Integers are exact in any order of summation, and the weights distinguish the positions.
    """
    content = weights.contiguous().flatten().view(torch.uint8)
    whole = len(content) // BLOCK_BYTES * BLOCK_BYTES
    blocks = content[:whole].view(torch.int64).view(-1, BLOCK_BYTES // 8)
    factors = 2 * torch.arange(BLOCK_BYTES // 8, device=weights.device) + 1
    rest = content[whole:].long() * torch.arange(1, len(content) - whole + 1, device=weights.device)
    sums = [(part * factors).sum(1) for part in blocks.split(BLOCKS_AT_ONCE)]
    return torch.cat([*sums, rest.sum(0, keepdim=True)])
