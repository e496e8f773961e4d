"""Export of trained methods to ONNX: pixels in, values and probabilities out, no text encoder."""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ordlib

from ..clip import ClipBackbone
from ..clip.checkpoints import local_checkpoint
from ..clip.encoders.siglip import NaflexImageEncoder
from ..clip.feature_cache import cached_image_features
from ..methods.base import OrdinalMethod, TrainableModule
from ..methods.linear_probe import LinearProbe
from ..methods.prompt_method import PromptMethod, clip_logits
from ..methods.zero_shot import ZeroShot
from ..utils.cache import atomic_write
from ..utils.output import write_error
from ..utils.validation import check_path
from .export_check import check_equal, random_images
from .io import pack

if TYPE_CHECKING:
    from ..methods.predictor import Predictor

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MAX_BYTES = 2**31 - 2**20  # of one file, which is a protocol buffer
MIN_PROBABILITY = 1e-300  # as in ConformalCalibration
FLOAT32_ON_CPU = (
    "the export takes float32 on the CPU: use load_component(name, device='cpu') on a saved model"
)
# torch converts in one thread only: two would damage its state for all later conversions.
_CONVERSION = Lock()
SUPPORTED = "NumCLIP, CoOp, OrdinalCLIP, L2RCLIP, FineTuned, CORN, ZeroShot or LinearProbe"


def export_onnx(model: "Predictor", path: str | os.PathLike) -> None:
    """Export a method to one ONNX file, checked with onnxruntime against ``model.predict``.

    The file holds the image encoder, with LoRA merged into its weights, the text features as
    constants, and the decoding. Its input ``images`` is ``(N, S, S, 3)`` uint8 RGB, of any N, where
    S is the backbone's image size: images as ``clip.preprocessor.resize_image`` returns them;
    the normalization is in the file. Its outputs are

    * ``value``: ``(N,)`` float64, in the task's unit, as of ``model.predict``;
    * ``label_index``: ``(N,)`` int64 index of the nearest rank;
    * ``probabilities``: ``(N, M)`` float64 over the ranks, as of ``model.predict``; NumCLIP with
      fewer bins than ranks, LinearProbe and prompts of bins have none;
    * ``calibrated_probabilities``: these at the fitted temperature, as in the table of
      ``model.predict(folder)``; only if the model is calibrated.

    The metadata of the file are texts: ``ordlib_version``, ``method``, ``task``, ``unit``,
    ``image_size``, ``backbone``, ``backbone_sha256``, ``component_sha256`` (of its tensors), and
    as JSON ``rank_labels``, ``rank_values``, ``mean`` and ``std`` (of pixels scaled to 0-1), and
    ``resize``, the steps from an image to the square (``clip.preprocessor.resize_steps()``).

    Args:
        model: a trained method with fixed text and a float32 backbone.
        path: the file, written at once and only if it equals the model: on random images values
            and probabilities differ by at most 1e-4, values of tasks whose range is longer than 10
            by at most 1e-5 of it.

    Raises:
        ValueError: a method, backbone or preprocessing that cannot be exported, missing packages
            (``pip install 'ordlib[onnx]'``), more than 2 GB, or a path that cannot be written.
        FloatingPointError: onnxruntime and the model differ; no file is left.

    Example:
        >>> import ordlib
        >>> model = ordlib.load_component("numclip-counting", device="cpu")  # doctest: +SKIP
        >>> ordlib.export_onnx(model, "counting.onnx")  # doctest: +SKIP
    """
    check_path("path", path)
    if error := write_error(path):
        raise ValueError(f"{path} {error}")
    _check_parameters(model)
    head = _head(model)
    clip = _backbone(model)
    _check_backbone(clip)
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise ValueError(f"export needs {', '.join(missing)}: pip install 'ordlib[onnx]'")
    graph = _Graph(model, clip, head).eval()
    size = sum(tensor.nbytes for tensor in graph.encoder.state_dict().values())
    if size > MAX_BYTES:
        raise ValueError(
            f"{clip.name}: its image encoder has {size / 1e9:.1f} GB, and an ONNX file holds 2; "
            "train on a smaller backbone"
        )
    images = random_images(clip.image_size)
    with atomic_write(path) as temporary:
        with _CONVERSION:
            program = _convert(graph, torch.from_numpy(images[:2]))
        program.model.metadata_props.update(_metadata(model, clip))
        program.save(temporary, external_data=False)
        check_equal(temporary, model, images)


class _Graph(nn.Module):
    """Map ``(N, S, S, 3)`` uint8 images to the outputs of :func:`export_onnx`."""

    def __init__(
        self, model: "Predictor", clip: ClipBackbone, head: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.task, self.head = model.task, head
        # Registered, so that the parameters that the head uses are found.
        self.method = model if isinstance(model, nn.Module) else None
        tuned = self.method is not None and model.image_encoder.encoder
        self.encoder = _merged(tuned or clip.image_encoder)
        self.decode = getattr(model, "decode", model.task.decode)
        calibration = model.calibrations.get(model.task.name)
        self.temperature = calibration and calibration.temperature
        black = clip.preprocessor.normalize_bytes(torch.zeros(1, 3, 1, 1))
        white = clip.preprocessor.normalize_bytes(torch.full((1, 3, 1, 1), 255.0))
        self.register_buffer("factor", (white - black) / 255)
        self.register_buffer("shift", black)
        ranks = torch.from_numpy(model.task.rank_values)
        self.register_buffer("rank_values", ranks)
        self.register_buffer("midpoints", (ranks[:-1] + ranks[1:]) / 2)
        with torch.no_grad():
            has_probabilities = self.head(torch.ones(1, clip.embed_dim)).ndim == 2
        names = ["value", "label_index"] + ["probabilities"] * has_probabilities
        calibrated = has_probabilities and self.temperature is not None
        self.output_names = names + ["calibrated_probabilities"] * calibrated

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = images.permute(0, 3, 1, 2).float() * self.factor + self.shift
        output = self.head(self.encoder(pixels).float())
        if output.ndim == 1:
            value, probabilities = output, []
        else:
            expectation = self.decode == "expectation"
            value = output @ self.rank_values if expectation else self.rank_values[output.argmax(1)]
            probabilities = [output]
            if self.temperature is not None:
                log = output.clamp(min=MIN_PROBABILITY).log() / self.temperature
                probabilities.append(log.softmax(1))
        index = (value[:, None] >= self.midpoints).sum(1)
        return value, index, *probabilities


def _convert(model: _Graph, images: Tensor) -> torch.onnx.ONNXProgram:
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (images,),
                input_names=["images"],
                output_names=model.output_names,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                custom_translation_table={torch.ops.aten.cumprod.default: _cumprod},
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        problem = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(
            f"torch {torch.__version__} cannot convert the model: {problem}"
        ) from error
    finally:
        logging.disable(disabled)
    graph = program.model.graph
    # Where torch cannot follow a batch of any size, it takes the one that it was given.
    if isinstance(graph.inputs[0].shape[0], int):
        raise ValueError("torch cannot convert the model for any batch size; use another backbone")
    # Stack traces, with the paths of this machine.
    for part in (graph, *graph.all_nodes()):
        part.metadata_props.clear()
    return program


def _head(model: "Predictor") -> Callable[[Tensor], Tensor]:
    """Map ``(N, D)`` image features to ``(N, M)`` probabilities or ``(N,)`` values, float64.

    Raises:
        ValueError: the method cannot be exported; says why, and the way out.
    """
    if isinstance(model, PromptMethod):
        with torch.no_grad():
            text, scale = model.text_features(), torch.as_tensor(model.logit_scale)
        adapter = model.image_encoder.adapter
        return lambda x: model.decode_logits(clip_logits(scale, adapter(x), text))
    if isinstance(model, OrdinalMethod) and hasattr(model, "decode_logits"):
        return lambda x: model.decode_logits(model.logits(model.image_encoder.adapter(x)))
    if isinstance(model, ZeroShot) and not model.placeholder_columns:
        return partial(_zero_shot, model, model.text_features())
    if isinstance(model, LinearProbe) and _backbone(model) is not None:
        return _linear(model)
    name = type(model).__name__
    problem = f"is no method of ordlib that can be exported; export {SUPPORTED}"
    if name == "RankingAdapter":
        problem = (
            "takes a prompt at run time, and the file has neither text encoder nor tokenizer; "
            f"export a method with fixed text ({SUPPORTED}), or use ordlib.rank and `ordlib rank`"
        )
    elif isinstance(model, ZeroShot):
        problem = "has placeholder_columns, so that its text depends on the image; omit them"
    elif isinstance(model, LinearProbe):
        problem = "takes features from a function; export a probe of a backbone: LinearProbe(clip)"
    raise ValueError(f"{name} {problem}")


def _zero_shot(model: ZeroShot, text: Tensor, features: Tensor) -> Tensor:
    cosines = F.normalize(features, dim=-1) @ text.T
    probabilities = (model.clip.logit_scale * cosines.double()).softmax(1)
    if model.prompts_for == "ranks":
        return probabilities
    midpoints = torch.from_numpy(model.task.bin_midpoints().clip(*model.task.range))
    return (
        midpoints[probabilities.argmax(1)]
        if model.decode == "argmax"
        else probabilities @ midpoints
    )


def _linear(model: LinearProbe) -> Callable[[Tensor], Tensor]:
    if model._regressor is None:
        raise ValueError("LinearProbe is not fitted: call fit(train) first")
    scaler, ridge = (step for _, step in model._regressor.steps)
    weight = torch.from_numpy(ridge.coef_ / scaler.scale_)
    bias = float(ridge.intercept_ - weight.numpy() @ scaler.mean_)
    low, high = model.task.range
    return lambda x: (x.double() @ weight + bias).clamp(low, high)


def _backbone(model: "Predictor") -> ClipBackbone | None:
    """Backbone of a method; None for a probe of features that a function computes."""
    if isinstance(model, LinearProbe):
        encode = model.encode
        is_clip = isinstance(encode, partial) and encode.func is cached_image_features
        return encode.args[0] if is_clip else None
    return model.clip


def _check_backbone(clip: ClipBackbone) -> None:
    """Raise ValueError for a backbone that cannot be exported."""
    if clip.preprocessor.resize_steps() is None:
        raise ValueError(
            f"{clip.name}: its images are resized by a function of open_clip or by unusual steps, "
            "which a file cannot describe; use a checkpoint of transformers, or, if it is one, "
            "load_clip(name, resize='squash')"
        )
    if isinstance(clip.image_encoder, NaflexImageEncoder):
        raise ValueError(
            f"{clip.name}: SigLIP 2's NaFlex models scale their positional embeddings image by "
            "image, so that a file would hold a fixed batch size; use a SigLIP 2 of a fixed size"
        )
    if (clip.device.type, clip.dtype) != ("cpu", torch.float32):
        raise ValueError(f"{clip.name}: {clip.dtype} on {clip.device}, but {FLOAT32_ON_CPU}")


def _check_parameters(model: "Predictor") -> None:
    """Raise ValueError unless a method's parameters are finite, and float32 on the CPU."""
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise ValueError(f"torch's default dtype is {dtype}: call set_default_dtype(torch.float32)")
    for name, tensor in model.named_parameters() if isinstance(model, nn.Module) else ():
        problem = ""
        if (tensor.device.type, tensor.dtype) != ("cpu", torch.float32):
            problem = f"is {tensor.dtype} on {tensor.device}, but {FLOAT32_ON_CPU}"
        elif not tensor.isfinite().all():
            problem = "has NaN or infinite values; train it again"
        if problem:
            raise ValueError(f"{type(model).__name__}: {name} {problem}")


def _cumprod(x: object, dim: int, dtype: int = -1) -> object:
    """ONNX operators of ``torch.cumprod`` for numbers from 0, which the exporter lacks."""
    from onnxscript import opset18 as op

    return op.Exp(op.CumSum(op.Log(x), op.Constant(value_int=dim)))


def _merged(encoder: nn.Module) -> nn.Module:
    """Return a copy of an image encoder in which LoRA is part of the weights."""
    encoder = deepcopy(encoder).float()
    for name, layer in [*encoder.named_modules()]:
        if hasattr(layer, "lora_A"):
            layer.merge()
            encoder.set_submodule(name, layer.get_base_layer())
    return encoder.requires_grad_(False)


def _metadata(model: "Predictor", clip: ClipBackbone) -> dict[str, str]:
    task, preprocessor = model.task, clip.preprocessor
    ends = [
        preprocessor.denormalize(torch.full((1, 3, 1, 1), x)).flatten() / 255 for x in (0.0, 1.0)
    ]
    mean, std = ends[0].double(), (ends[1] - ends[0]).double()
    metadata = {
        "ordlib_version": ordlib.__version__,
        "method": type(model).__name__,
        "task": task.name,
        "unit": task.unit,
        "rank_labels": [task.rank_label(rank) for rank in range(task.num_ranks)],
        "rank_values": task.rank_values.tolist(),
        "image_size": clip.image_size,
        "mean": [round(x, 6) for x in mean.tolist()],
        "std": [round(x, 6) for x in std.tolist()],
        "resize": preprocessor.resize_steps(),
        # Of a path, which nobody else has, the last part.
        "backbone": Path(clip.name).name if local_checkpoint(clip.name) else clip.name,
        "backbone_sha256": clip.weights_hash,
    }
    if isinstance(model, TrainableModule):
        weights = pack(model.saved_state_dict())
        metadata["component_sha256"] = hashlib.sha256(weights).hexdigest()
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    return texts
