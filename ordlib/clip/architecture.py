"""Architecture of a checkpoint: the fields of config.json that transformers gets to see."""

from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN

from ..utils.reading import errors_name, get_field, read_json, shorten
from ..utils.validation import check_choice

# Any other field, such as the name of a weights file, of code or of an attention kernel on the
# hub, is left out; and of these, those that the architecture lacks.
SHARED_SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
SIZES = {
    "text_config": ("vocab_size", "max_position_embeddings", "projection_size"),
    "vision_config": ("image_size", "patch_size", "num_patches", "num_channels"),
}
MAX_LAYERS, MAX_IMAGE_SIZE = 1000, 4096


def read_architecture(
    folder: Path, model_class: type[PreTrainedModel], num_bytes: int
) -> PreTrainedConfig:
    """Read config.json of a model whose weights have ``num_bytes`` bytes.

    Raises:
        ValueError: a field is of a wrong type or value, or the sizes do not fit the weights.
    """
    path, config_class = folder / "config.json", model_class.config_class
    content, defaults = read_json(path), config_class()
    with errors_name(path):
        parts = {n: _read_encoder(content, n, getattr(defaults, n), num_bytes) for n in SIZES}
        if hasattr(defaults, "projection_dim"):
            width = get_field(content, "projection_dim", int, default=defaults.projection_dim)
            _check_size("projection_dim", width, num_bytes)
            parts["projection_dim"] = width
        # A weight takes a byte at least. Without this, a few digits could take all memory.
        if (count := _num_weights(config := config_class(**parts))) > num_bytes:
            raise ValueError(
                f"its sizes make a model of {count:,} weights, but the weights files have "
                f"{num_bytes:,} bytes; a file is damaged, missing or of another checkpoint"
            )
    return config


def _read_encoder(content: dict, part: str, defaults: PreTrainedConfig, num_bytes: int) -> dict:
    given = get_field(content, part, dict, type(None), default=None) or {}
    # Older checkpoints have the fields of this one as well, which then decide.
    given |= get_field(content, f"{part}_dict", dict, type(None), default=None) or {}
    sizes = [name for name in (*SHARED_SIZES, *SIZES[part]) if hasattr(defaults, name)]
    kinds = dict.fromkeys(sizes, int) | {"hidden_act": str, "layer_norm_eps": float}
    fields = {
        name: get_field({part: given}, f"{part}.{name}", kind, default=getattr(defaults, name))
        for name, kind in kinds.items()
    }
    if "projection_size" in fields and "projection_size" not in given:
        fields["projection_size"] = fields["hidden_size"]
    for name in sizes:
        _check_size(f"{part}.{name}", fields[name], num_bytes)
    for name, rule in _broken_rules(fields).items():
        raise ValueError(f"{part}.{name} = {shorten(fields[name])}: {rule}")
    if hasattr(defaults, "vision_use_head"):
        fields["vision_use_head"] = given.get("vision_use_head", True)
        check_choice(f"{part}.vision_use_head", fields["vision_use_head"], (True, False))
    if part == "text_config":
        # Not used here, but it is what others find in the model.
        ids = get_field({part: given}, f"{part}.eos_token_id", int, type(None), default=None)
        fields |= {} if ids is None else {"eos_token_id": ids}
    return fields


def _broken_rules(fields: dict) -> dict[str, str]:
    """Rule by name of each field that breaks it."""
    layers, heads, width, _ = (fields[name] for name in SHARED_SIZES)
    patch, side = fields.get("patch_size", 1), fields.get("image_size", MAX_IMAGE_SIZE)
    act, eps = fields["hidden_act"], fields["layer_norm_eps"]
    rules = {
        "num_hidden_layers": (layers <= MAX_LAYERS, f"must be at most {MAX_LAYERS}"),
        "num_attention_heads": (width % heads == 0, f"must divide hidden_size = {width}"),
        "hidden_act": (act in ACT2FN, f"must be one of {', '.join(ACT2FN)}"),
        "layer_norm_eps": (0 < eps < 1, "must be between 0 and 1"),
        "num_channels": (fields.get("num_channels", 3) == 3, "must be 3"),
        "image_size": (side <= MAX_IMAGE_SIZE, f"must be at most {MAX_IMAGE_SIZE}"),
        "patch_size": (patch <= side, f"must be at most image_size = {side}"),
    }
    return {name: rule for name, (is_valid, rule) in rules.items() if not is_valid}


def _check_size(field: str, value: int, num_bytes: int) -> None:
    if not 0 < value <= num_bytes:
        rule = f"must be 1 or more, and fit weights of {num_bytes:,} bytes"
        raise ValueError(f"{field} = {shorten(value)}: {rule}")


def _num_weights(config: PreTrainedConfig) -> int:
    """Number of weights, without biases, norms and pooling."""
    text, vision = config.text_config, config.vision_config
    layers = sum(
        c.num_hidden_layers * c.hidden_size * (4 * c.hidden_size + 2 * c.intermediate_size)
        for c in (text, vision)
    )
    patches = getattr(vision, "num_patches", None)
    if patches is None:
        patches = (vision.image_size // vision.patch_size) ** 2
    widths = text.vocab_size + text.max_position_embeddings + getattr(text, "projection_size", 0)
    joint = getattr(config, "projection_dim", 0) * (text.hidden_size + vision.hidden_size)
    pixels = 3 * vision.patch_size**2
    return layers + text.hidden_size * widths + vision.hidden_size * (patches + pixels) + joint
