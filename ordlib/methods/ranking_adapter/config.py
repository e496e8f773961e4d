"""Hyperparameters of the ranking-aware adapter."""

from dataclasses import dataclass
from typing import Literal, get_args

from ...losses import LossComponent, TieHandling
from ...utils.validation import check_types
from .network import NUM_LEARNABLE_TOKENS, NUM_RELATIONAL_TOKENS, LearnableTokens, PairwiseHead

TextPositions = Literal["sentence", "all"]
MAX_SIZES = {"num_layers": 100, "num_learnable_tokens": 10_000, "num_relational_tokens": 10_000}


@dataclass(frozen=True, kw_only=True)
class RankingAdapterConfig:
    """Hyperparameters of :class:`RankingAdapter`.

    :func:`~.recipe.released_config` gives those of the released code.

    Attributes:
        use_cls_token: whether to use CLIP's class token as well; None: if the backbone has one.
        text_positions: the text tokens that the network attends to: those of the "sentence", up to
            its EOS token, or "all" positions of the context, padding included (released code).
        project_text: whether text tokens are projected to the width of the image tokens; False
            (released code) requires a CLIP whose two widths are equal.
        num_layers: number of cross-modal blocks, and of encoder layers after them; None takes two,
            or one if the image encoder has fewer than six layers.
        projection_bias: whether the projection between them has a bias; the released code has none.
        learnable_tokens: form of the learned tokens before the text tokens, "vector" or "scalar";
            see :class:`~.network.RankingAdapterNetwork`.
        num_learnable_tokens, num_relational_tokens: numbers of tokens, see there.
        pairwise_head: "relational", "ungated", "mean_difference", "score_difference" or "none"; see
            there.
        loss_components: terms of :func:`~ordlib.losses.dual_loss`; "presence" needs raw targets.
        tie_handling: treatment of pairs with equal labels in the pairwise loss: "mask", "half" or
            "zero" (as in the released code); see there.
        standardize_targets: whether labels are standardized per task for the loss; with False
            (released code) scores are in the unit of the labels, and tasks weigh by their units.
        negative_ratio: minimum share, in [0, 1), of a training batch that does not show the object
            of the prompt; for templates with placeholders only.
        seed: random seed of the initialization.
    """

    use_cls_token: bool | None = None
    text_positions: TextPositions = "sentence"
    project_text: bool = True
    num_layers: int | None = None
    projection_bias: bool = True
    learnable_tokens: LearnableTokens = "vector"
    num_learnable_tokens: int = NUM_LEARNABLE_TOKENS
    num_relational_tokens: int = NUM_RELATIONAL_TOKENS
    pairwise_head: PairwiseHead = "relational"
    loss_components: tuple[LossComponent, ...] = ("regression", "ranking")
    tie_handling: TieHandling = "mask"
    standardize_targets: bool = True
    negative_ratio: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for name, most in MAX_SIZES.items():
            if (value := getattr(self, name)) is not None and not 1 <= value <= most:
                raise ValueError(f"{name} = {value}: must be 1 or more, and at most {most}")
        if not 0 <= self.negative_ratio < 1:
            raise ValueError(f"negative_ratio = {self.negative_ratio!r}: must be from 0 to below 1")
        self._check_loss_components()

    def _check_loss_components(self) -> None:
        components = self.loss_components
        known = get_args(LossComponent)
        if isinstance(components, str) or not components or not set(components) <= {*known}:
            raise ValueError(
                f"loss_components = {components!r}: must be one or more of {', '.join(known)}"
            )
        object.__setattr__(self, "loss_components", tuple(components))
        if "presence" in components and self.standardize_targets:
            raise ValueError(
                f"loss_components = {components!r}: 'presence' compares raw labels with 0; set "
                "standardize_targets=False"
            )
        if "ranking" not in components and self.pairwise_head != "none":
            raise ValueError(
                f"loss_components = {components!r}: would not train pairwise_head = "
                f"{self.pairwise_head!r}; set pairwise_head='none'"
            )
        if {*components} == {"ranking"} and self.pairwise_head != "score_difference":
            raise ValueError(
                f"loss_components = {components!r}: would not train the score that ranks images; "
                "add 'regression', or set pairwise_head='score_difference'"
            )
