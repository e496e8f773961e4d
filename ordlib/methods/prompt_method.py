"""Base class of methods with one prompt per rank or per bin."""

import math
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..tasks.templates import placeholder_names
from ..utils.device import torch_defaults
from .base import OrdinalMethod, rank_targets
from .image_encoder import ImageEncoderConfig
from .prompt_learner import PromptLearner

TextEncoderTuning = Literal["frozen", "full"]
MAX_COSINE = 0.995
MAX_PAIRS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class PromptConfig(ImageEncoderConfig):
    """Prompt options of a method.

    Attributes:
        template: template whose only placeholder is ``{rank}``; None: :func:`rank_only_template`.
        n_ctx: number of random context vectors before the rank, in place of the template's words;
            None initializes the context from the template.
        suffix: text at the end of each prompt that is not trained, such as a full stop.
        rank_specific_context: whether each rank has a context of its own.
        text_encoder: "frozen" or "full": whether the text encoder is trained as well.
        tune_logit_scale: whether CLIP's factor of the cosines is trained.
    """

    template: str | None = None
    n_ctx: int | None = None
    suffix: str = ""
    rank_specific_context: bool = False
    text_encoder: TextEncoderTuning = "frozen"
    tune_logit_scale: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_ctx is not None and self.n_ctx < 0:
            raise ValueError(f"n_ctx = {self.n_ctx}: must be 0 or more, or None")


class PromptMethod(OrdinalMethod):
    """Cosine logits between images and rank prompts, with cross-entropy."""

    # The state of the parameters that the text features below belong to, and these.
    _encoded_prompts: tuple[tuple, Tensor] | None = None

    def _build_prompts(
        self, rank_embeddings: nn.Module, *, bins: bool = False, tune_context: bool = True
    ) -> None:
        """Create the prompt learner, and what is trained of text encoder and logit scale."""
        options: PromptConfig = self.options
        self.prompt_learner = PromptLearner(
            self.clip,
            rank_only_template(self.task, options.template, bins=bins),
            rank_embeddings,
            n_ctx=options.n_ctx,
            tune_context=tune_context,
            suffix=options.suffix,
            rank_specific_context=options.rank_specific_context,
            seed=options.seed,
        )
        self.text_encoder = self.log_scale = None
        if options.text_encoder == "full":
            self.text_encoder = deepcopy(self.clip.text_encoder).float().requires_grad_(True)
            # The prompts are embeddings already: a table of tokens would get no gradient.
            self.text_encoder.token_embedding.requires_grad_(False)
        if options.tune_logit_scale:
            self.log_scale = nn.Parameter(torch.tensor(math.log(self.clip.logit_scale)))

    def task_fields(self) -> dict:
        """Return the task's fields, with templates that contain only ``{rank}``."""
        return rank_only_fields(self.task)

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` text features of the prompts, differentiable in the parameters."""
        prompts = self.prompt_learner.prompt_embeddings()
        return self.encode_prompts(prompts.embeddings, prompts.eos_positions)

    def encode_prompts(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Return ``(M, D)`` features of ``(M, T, W)`` embeddings, by the trained text encoder."""
        if self.text_encoder is None:
            return self.clip.encode_text_embeddings(embeddings, eos_positions)
        return self.text_encoder(embeddings, eos_positions).float()

    @property
    def logit_scale(self) -> Tensor | float:
        """Factor of the cosines: CLIP's, or the trained one."""
        log_scale = getattr(self, "log_scale", None)  # fixed prompts have none
        return self.clip.logit_scale if log_scale is None else log_scale.exp()

    @torch.no_grad()
    def warn_about_text_features(self) -> None:
        """Warn of fixed prompts with nearly equal text features: training cannot change them."""
        if "prompts" not in self.parameter_groups():
            warn_about_similar_prompts(type(self).__name__, self._names(), self.text_features())

    def _names(self) -> tuple[str, ...]:
        """What the text features stand for."""
        return self.task.rank_names

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, M)`` CLIP logits of ``(B, D)`` image features.

        Without gradients, the prompts are encoded only if a parameter has changed since the last
        call: one image at a time, the text encoder would take longer than the image encoder.
        """
        if torch.is_grad_enabled():
            return clip_logits(self.logit_scale, features, self.text_features())
        # Inference tensors count no versions, and cannot be trained.
        versions = (0 if p.is_inference() else p._version for p in self.parameters())
        state = (*versions, *((p.device, p.data_ptr()) for p in self.parameters()))
        if self._encoded_prompts is None or self._encoded_prompts[0] != state:
            with torch_defaults(), torch.no_grad():
                self._encoded_prompts = state, self.text_features()
        return clip_logits(self.logit_scale, features, self._encoded_prompts[1])

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats; arguments as in `OrdinalMethod.loss`."""
        return F.cross_entropy(self.logits(features), rank_targets(self.task, values))

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions with probabilities.

        The value is the expectation over the ranks, unless ``task.decode`` says argmax.
        """
        probabilities = self.decode_logits(self.logits(features))
        return self.task.decode_probabilities(probabilities.cpu().numpy())

    def decode_logits(self, logits: Tensor) -> Tensor:
        """Return ``(N, M)`` float64 probabilities of the ranks, or ``(N,)`` values (NumCLIP)."""
        return logits.double().softmax(1)


def warn_about_similar_prompts(method: str, names: Sequence[str], text_features: Tensor) -> None:
    """Warn of pairs of ``(M, D)`` text features with a cosine of .995 or more, and name them."""
    normalized = F.normalize(text_features.double().cpu(), dim=-1)
    cosines = (normalized @ normalized.T).triu(1)
    similar = (cosines >= MAX_COSINE).nonzero()
    if not len(similar):
        return
    order = cosines[*similar.T].argsort(descending=True, stable=True)
    pairs = [tuple(names[i] for i in pair) for pair in similar[order].tolist()[:MAX_PAIRS_SHOWN]]
    shown = ", ".join(f"{a!r} and {b!r}" for a, b in pairs)
    total = len(names) * (len(names) - 1) // 2
    warnings.warn(
        f"{method}: to CLIP {len(similar)} of {total} pairs of prompts are nearly alike (cosines "
        f"of {MAX_COSINE} and more: {shown}{', ...' * (len(similar) > len(pairs))}), and "
        f"{method} does not train them; choose other names or templates, or a method that learns "
        "its prompts, such as NumCLIP, CoOp or L2RCLIP",
        stacklevel=4,
    )


def rank_only_fields(task: OrdinalTask) -> dict:
    """Return the task's fields, with templates that contain only ``{rank}``."""
    if not task.placeholders:
        return asdict(task)
    return asdict(task) | {
        "templates": (rank_only_template(task),),
        "bin_templates": (rank_only_template(task, bins=True),),
        "placeholders": {},
    }


def clip_logits(
    logit_scale: Tensor | float, image_features: Tensor, text_features: Tensor
) -> Tensor:
    """Return ``(B, M)`` cosines times the logit scale, in float32 even under autocast."""
    with torch.autocast(image_features.device.type, enabled=False):
        image = F.normalize(image_features.float(), dim=-1)
        text = F.normalize(text_features.float(), dim=-1)
        return logit_scale * image @ text.T


def rank_only_template(
    task: OrdinalTask, template: str | None = None, *, bins: bool = False
) -> str:
    """Return a template whose only placeholder is ``{rank}``.

    This is ``template`` if given. Otherwise it is the first such template of the ranks or bins; if
    there is none, the first template with the other placeholders removed.

    Example:
        >>> from ordlib import load_task
        >>> rank_only_template(load_task("counting"))
        'a photo of {rank}'
    """
    if template is not None:
        return template
    templates = task.bin_templates if bins else task.templates
    for candidate in templates:
        if placeholder_names(candidate) == {"rank"}:
            return candidate
    text = templates[0]
    for name in placeholder_names(text) - {"rank"}:
        text = text.replace(f"{{{name}}}", "")
    return " ".join(text.split())
