"""Read checkpoints of the ranking-aware adapter's released code."""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...clip import ClipBackbone
from ...utils.reading import errors_name
from .config import MAX_SIZES
from .network import RankingAdapterNetwork

ANCHOR = "crossmodal_block.projection"  # a tensor that every checkpoint has
# Name in the release, as a regular expression, and in `RankingAdapterNetwork`.
NAMES = [
    (r"learnable_text_tokens", r"learnable_tokens"),
    (r"reg_tokens", r"pairwise_head.relational_tokens"),
    (r"crossmodal_block\.resblocks\.(\d+)\.ln_1\.", r"cross_modal_blocks.\1.norms.0."),
    (r"crossmodal_block\.resblocks\.(\d+)\.attn\.", r"cross_modal_blocks.\1.self_attn."),
    (r"crossmodal_block\.resblocks\.(\d+)\.ln_2\.", r"cross_modal_blocks.\1.norms.1."),
    (r"crossmodal_block\.resblocks\.(\d+)\.mlp\.c_fc\.", r"cross_modal_blocks.\1.mlps.0.0."),
    (r"crossmodal_block\.resblocks\.(\d+)\.mlp\.c_proj\.", r"cross_modal_blocks.\1.mlps.0.2."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.ln_1\.", r"cross_modal_blocks.\1.norms.2."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.ln_1_kv\.", r"cross_modal_blocks.\1.norms.3."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.attn\.", r"cross_modal_blocks.\1.cross_attn."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.ln_2\.", r"cross_modal_blocks.\1.norms.4."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.mlp\.c_fc\.", r"cross_modal_blocks.\1.mlps.1.0."),
    (r"crossmodal_block\.cross_attn\.(\d+)\.mlp\.c_proj\.", r"cross_modal_blocks.\1.mlps.1.2."),
    (r"crossmodal_block\.ln_final\.", r"projection.0."),
    (r"crossmodal_block\.projection", r"projection.1.weight"),
    (r"post_fuse_block\.layers\.", r"encoder."),
    (r"reg_token_pooler\.q_proj\.", r"pairwise_head.query_proj.0."),
    (r"reg_token_pooler\.ln_q\.", r"pairwise_head.query_proj.1."),
    (r"reg_token_pooler\.kv_proj\.", r"pairwise_head.key_proj.0."),
    (r"reg_token_pooler\.ln_kv\.", r"pairwise_head.key_proj.1."),
    (r"reg_token_pooler\.out_proj\.", r"pairwise_head.out_proj."),
    (r"pair_regressor\.pre_linear_block\.0\.", r"pairwise_head.head.0."),
    (r"pair_regressor\.output_head\.", r"pairwise_head.head.1.9."),
    (r"reg_ln\.", r"score_norm."),
    (r"regressor\.pre_linear_block\.", r"score_head."),
    (r"regressor\.output_head\.", r"score_head.6."),
]
# Tensors that identify the backbone, in the release (and open_clip) and in transformers' CLIP.
BACKBONE_NAMES = {
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
}
_PAIR_LAYER = re.compile(r"pair_regressor\.pre_linear_block\.(\d+)\.")


def load_released_ranking_adapter(path: str | os.PathLike) -> RankingAdapterNetwork:
    """Load the adapter of a checkpoint of the ranking-aware adapter's released code.

    The network expects what the release feeds it: the image tokens of its own backbone, and all
    text positions (77 for CLIP, padded with token 0), both of the adapter's width, unprojected.
    Tensors of the backbone in the same file are left out. Nothing is unpickled but tensors.

    Args:
        path: a torch file, or safetensors.

    Returns:
        The network in evaluation mode, in the precision of the file.

    Raises:
        ValueError: the file is no such checkpoint, or lacks tensors; the message names them.

    References:
        Yu et al. (2025), arXiv:2412.06760, and the released code, uynaes/RankingAwareCLIP.

    Example:
        >>> load_released_ranking_adapter("adapter.pt")  # doctest: +SKIP
    """
    return read_released(path)[0]


def read_released(path: str | os.PathLike) -> tuple[RankingAdapterNetwork, dict[str, Tensor]]:
    """Return the adapter of a released checkpoint, and the tensors of its backbone, if any."""
    state = _read_tensors(Path(path))
    anchors = [name for name in state if name == ANCHOR or name.endswith(f".{ANCHOR}")]
    if len(anchors) != 1:
        raise ValueError(
            f"{path}: has {len(anchors)} tensors named {ANCHOR!r}: no checkpoint of the released "
            f"ranking-aware adapter; it has {', '.join(list(state)[:5]) or 'no tensors'}"
        )
    prefix = anchors[0].removesuffix(ANCHOR)
    released = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    with errors_name(Path(path)):
        tensors = convert_released_tensors(released)
        _check_tensors(tensors)
        network = _matching_network(tensors)
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    if missing or unexpected:
        names = ", ".join([*missing, *unexpected][:5])
        raise ValueError(
            f"{path}: {len(missing)} tensors missing, {len(unexpected)} unknown: {names}"
        )
    prefix = prefix.removesuffix("adapter.")
    backbone_state = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    return network.eval(), backbone_state


def check_backbone(
    path: str | os.PathLike,
    network: RankingAdapterNetwork,
    backbone_state: Mapping[str, Tensor],
    clip: ClipBackbone,
) -> None:
    """Raise ValueError if a backbone does not fit the adapter; warn if its weights are others."""
    width = network.score_norm.normalized_shape[0]
    if {clip.embed_dim, clip.text_width} != {width}:
        raise ValueError(
            f"{path}: the adapter takes image and text tokens of width {width}; the backbone "
            f"{clip.name} has image tokens of width {clip.embed_dim} and text tokens of width "
            f"{clip.text_width}; load a CLIP with both widths {width}"
        )
    weights = clip.model.state_dict()
    others = [
        name
        for name, own_name in BACKBONE_NAMES.items()
        if name in backbone_state
        and not _is_close(backbone_state[name], weights.get(own_name, weights.get(name)))
    ]
    others += [name for name in backbone_state if name.startswith("visual.trunk.")][:1]
    if others:
        warnings.warn(
            f"{path}: was trained on another backbone than {clip.name} (the weights differ in "
            f"{', '.join(others)}): its scores mean nothing until the adapter is trained on this "
            "one; the release also tunes the token embeddings",
            stacklevel=3,
        )


def _is_close(released: Tensor, own: Tensor | None) -> bool:
    if own is None or released.shape != own.shape:
        return False
    own = own.to(device="cpu", dtype=torch.float32)
    return torch.allclose(released.float(), own, rtol=1e-2, atol=1e-6)  # half precision passes


def convert_released_tensors(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of the release to those of :class:`RankingAdapterNetwork`.

    Tensors of other parts, such as the backbone, are left out.
    """
    tensors = {}
    for name, tensor in released.items():
        if layer := _PAIR_LAYER.match(name):
            index = int(layer[1])
            target = "0." if index == 0 else f"1.{index - 1}."
            tensors["pairwise_head.head." + target + name[layer.end() :]] = tensor
            continue
        for pattern, replacement in NAMES:
            if match := re.match(pattern, name):
                tensors[match.expand(replacement) + name[match.end() :]] = tensor
                break
    # (1, K) scalars; and a matrix that multiplies from the right.
    for name in ("learnable_tokens", "projection.1.weight"):
        if name in tensors:
            tensors[name] = tensors[name].T.contiguous()
    return tensors


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless a network of these tensors is as large as they are."""
    shape = tuple(tensors["projection.1.weight"].shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"{ANCHOR} has the shape {shape}: must be square")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise ValueError(f"the tensor of {name} has NaN or infinite values, or no numbers")
    layers = {name.split(".")[1] for name in tensors if name.startswith("cross_modal_blocks.")}
    if len(layers) > MAX_SIZES["num_layers"]:
        raise ValueError(f"has {len(layers)} blocks: must be at most {MAX_SIZES['num_layers']}")


def _matching_network(tensors: Mapping[str, Tensor]) -> RankingAdapterNetwork:
    width = len(tensors["projection.1.weight"])
    layers = {name.split(".")[1] for name in tensors if name.startswith("cross_modal_blocks.")}
    num_relational_tokens = len(tensors.get("pairwise_head.relational_tokens", ()))
    network = RankingAdapterNetwork(
        width, width,
        num_layers=len(layers),
        learnable_tokens="scalar",
        num_learnable_tokens=len(tensors.get("learnable_tokens", ())),
        pairwise_head="relational" if num_relational_tokens else "mean_difference",
        num_relational_tokens=num_relational_tokens,
        project_text=False,
        projection_bias=False,
    )  # fmt: skip
    return network.to(tensors["projection.1.weight"].dtype)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        with errors_name(path, SafetensorError):
            return load_file(path)
    try:  # Tensors alone: any other object in the file is an error.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: no torch file with tensors alone: {reason}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: contains a {type(content).__name__}, no tensors by name")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        # A tensor of a few numbers may claim billions by strides of 0.
        is_dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not is_dense or tensor.untyped_storage().nbytes() < tensor.nbytes:
            raise ValueError(f"{path}: the tensor {name} is not stored in full")
    return tensors
