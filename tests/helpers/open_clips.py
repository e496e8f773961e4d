"""Stand-ins for models, transforms and tokenizers of open_clip, which needs torchvision.

Attributes and calls are those of open_clip 3: ``CLIP`` and ``CustomTextCLIP`` with a
``VisionTransformer`` or a ``ModifiedResNet``, and text encoders of three kinds.
"""

import re

import numpy as np
import torch
from PIL import Image
from torch import nn

WIDTH, TEXT_WIDTH, EMBED_DIM, IMAGE_SIZE, CONTEXT = 40, 32, 24, 64, 20
WORDS = ["!", "</s>", "a", "photo", "of", "one", "two", "three", "five", "star", "stars", "cats"]


class SimpleTokenizer:
    """Start and end token, then zeros, which are also the token of "!"; cuts silently."""

    context_length = CONTEXT
    start, end = [254], [255]
    padding = 0

    def encode(self, text: str) -> list[int]:
        tokens = []
        for word in re.findall(r"\w+|[^\w\s]", text.lower()):
            tokens += [WORDS.index(word)] if word in WORDS else [100 + ord(c) % 100 for c in word]
        return tokens

    def __call__(self, texts: list[str] | str, context_length: int | None = None) -> torch.Tensor:
        texts, length = [texts] if isinstance(texts, str) else texts, context_length or CONTEXT
        rows = torch.full((len(texts), length), self.padding)
        for row, text in zip(rows, texts, strict=True):
            tokens = [*self.start, *self.encode(text), *self.end]
            if len(tokens) > length:
                tokens = [*tokens[: length - 1], *(self.end or [self.padding])]
            row[: len(tokens)] = torch.tensor(tokens)
        return rows


class SigLipTokenizer(SimpleTokenizer):
    """No start token; the end token is the padding."""

    start, end, padding = [], [], 1


class ClipaTokenizer(SimpleTokenizer):
    """BERT's start token; the end token has been replaced by the padding."""

    start, end, padding = [254], [], 99


class Transform:
    """Resize, center crop and normalization of PIL images; random if it is for training."""

    def __init__(self, size: int = IMAGE_SIZE, crop: bool = True, train: bool = False) -> None:
        self.size, self.crop, self.train = size, crop, train

    def __call__(self, image: Image.Image) -> torch.Tensor:
        width, height = image.size
        scale = self.size / min(image.size)
        size = (round(width * scale), round(height * scale)) if self.crop else (self.size,) * 2
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = ((length - self.size) // 2 for length in size)
        image = image.crop((left, top, left + self.size, top + self.size))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        mean, std = torch.tensor([0.48, 0.46, 0.41]), torch.tensor([0.27, 0.26, 0.28])
        return (pixels - mean[:, None, None]) / std[:, None, None] + self.train * torch.rand(1)


class ResidualAttentionBlock(nn.Module):
    def __init__(self, width: int, batch_first: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 4, batch_first=batch_first)
        layers = [("c_fc", nn.Linear(width, 2 * width)), ("gelu", nn.GELU())]
        layers += [("c_proj", nn.Linear(2 * width, width))]
        self.mlp = nn.Sequential()
        for name, layer in layers:
            self.mlp.add_module(name, layer)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=attn_mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """As since version 2.25, which takes prompts first; before, positions, without a mark."""

    def __init__(self, width: int, old: bool = False) -> None:
        super().__init__()
        if not old:
            self.batch_first = True
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(width, not old) for _ in range(2))

    def get_cast_dtype(self) -> torch.dtype:
        return self.resblocks[0].mlp.c_fc.weight.dtype

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.resblocks:
            x = block(x, attn_mask=attn_mask)
        return x


class VisionTransformer(nn.Module):
    def __init__(self, pool_type: str = "tok", output_tokens: bool = False) -> None:
        super().__init__()
        self.image_size, self.grid_size = (IMAGE_SIZE, IMAGE_SIZE), (4, 4)
        self.output_dim, self.attn_pool = EMBED_DIM, None
        self.pool_type, self.output_tokens = pool_type, output_tokens
        self.conv1 = nn.Conv2d(3, WIDTH, 16, 16, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(WIDTH))
        self.positional_embedding = nn.Parameter(torch.empty(17, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer(WIDTH)
        self.proj = nn.Parameter(torch.empty(WIDTH, EMBED_DIM))

    def _hidden(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        return self.transformer(self.ln_pre(x + self.positional_embedding))

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | None = None,
        normalize_intermediates: bool = False,
        intermediates_only: bool = False,
        output_fmt: str = "NCHW",
        output_extra_tokens: bool = False,
    ) -> dict[str, list[torch.Tensor]]:
        x = self._hidden(x)
        x = self.ln_post(x) if normalize_intermediates else x
        assert (indices, intermediates_only, output_fmt, output_extra_tokens) == (1, True, "NLC", 1)
        return {"image_intermediates": [x[:, 1:]], "image_intermediates_prefix": [x[:, :1]]}

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        x = self.ln_post(self._hidden(x))
        pooled = x[:, 0] if self.pool_type == "tok" else x[:, 1:].mean(1)
        features = pooled @ self.proj
        return (features, x[:, 1:]) if self.output_tokens else features


class AttentionPool2d(nn.Module):
    """Attention that uses the weights of its layers only."""

    def __init__(self) -> None:
        super().__init__()
        self.v_proj, self.c_proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, EMBED_DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).mean(2) @ self.v_proj.weight.T + self.v_proj.bias
        return x @ self.c_proj.weight.T + self.c_proj.bias


class ModifiedResNet(nn.Module):
    """No patch tokens; its batch norm has statistics beside its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size, self.output_dim = IMAGE_SIZE, EMBED_DIM
        self.conv1 = nn.Conv2d(3, WIDTH, 3, 2, 1, bias=False)
        self.bn1, self.act1, self.attnpool = nn.BatchNorm2d(WIDTH), nn.ReLU(), AttentionPool2d()

    def forward_intermediates(self, x: torch.Tensor, output_fmt: str = "NCHW") -> dict:
        raise AssertionError("Output format must be == NCHW.")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attnpool(self.act1(self.bn1(self.conv1(x))))


class TextTransformer(nn.Module):
    def __init__(self, pool_type: str = "argmax", causal: bool = True, old: bool = False) -> None:
        super().__init__()
        self.context_length, self.pool_type, self.old = CONTEXT, pool_type, old
        self.token_embedding = nn.Embedding(256, TEXT_WIDTH)
        self.positional_embedding = nn.Parameter(torch.empty(CONTEXT, TEXT_WIDTH))
        self.transformer, self.ln_final = Transformer(TEXT_WIDTH, old), nn.LayerNorm(TEXT_WIDTH)
        self.attn_mask = None
        if causal:
            mask = torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1)
            del self.attn_mask
            self.register_buffer("attn_mask", mask, persistent=False)
        linear = pool_type == "last"  # with a bias, as in SigLIP
        matrix = nn.Parameter(torch.empty(TEXT_WIDTH, EMBED_DIM))
        self.text_projection = nn.Linear(TEXT_WIDTH, EMBED_DIM) if linear else matrix

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(text) + self.positional_embedding
        if self.old:
            x = self.transformer(x.permute(1, 0, 2), attn_mask=self.attn_mask).permute(1, 0, 2)
        else:
            x = self.transformer(x, attn_mask=self.attn_mask)
        x = self.ln_final(x)
        index = torch.full((len(x),), CONTEXT - 1)
        if self.pool_type == "argmax":
            index = text.argmax(1)
        elif self.pool_type == "first":
            index = torch.zeros_like(index)
        pooled = x[torch.arange(len(x)), index]
        linear = isinstance(self.text_projection, nn.Linear)
        return self.text_projection(pooled) if linear else pooled @ self.text_projection


class HFTextEncoder(nn.Module):
    """Text encoder of transformers: a mean over the tokens that are no padding."""

    context_length = 512

    def __init__(self) -> None:
        super().__init__()
        self.transformer, self.proj = nn.Embedding(256, 16), nn.Linear(16, EMBED_DIM, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = (x != 0)[..., None].float()
        return self.proj((self.transformer(x) * mask).sum(1) / mask.sum(1))


class CLIP(nn.Module):
    """With the parts of its text encoder in itself."""

    def __init__(self, visual: nn.Module, text: TextTransformer) -> None:
        super().__init__()
        self.visual, self.transformer, self.ln_final = visual, text.transformer, text.ln_final
        self.token_embedding, self.text_projection = text.token_embedding, text.text_projection
        self.positional_embedding = text.positional_embedding
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self.context_length, self.text_pool_type = CONTEXT, text.pool_type
        self.logit_scale, self.logit_bias = nn.Parameter(torch.tensor(4.0)), None
        self._text = [text]  # shares the parts; in a list, so that it is no module of this one

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        features = self.visual(image)
        return features[0] if isinstance(features, tuple) else features

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return self._text[0](text)


class CustomTextCLIP(nn.Module):
    def __init__(self, visual: nn.Module, text: nn.Module) -> None:
        super().__init__()
        self.visual, self.text, self.context_length = visual, text, CONTEXT
        self.logit_scale = nn.Parameter(torch.tensor([4.0]))
        self.logit_bias = nn.Parameter(torch.tensor([-9.0]))

    encode_image = CLIP.encode_image

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return self.text(text)


@torch.no_grad()
def initialize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights that separate different inputs."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if "logit" in name or not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if "running_var" in name or (tensor.ndim < 2 and "weight" in name):
            noise = 1 + 0.1 * noise.abs()
        elif "embedding" in name:
            noise = 0.5 * noise
        elif tensor.ndim > 1:
            noise = 1.5 * noise * tensor[0].numel() ** -0.5
        tensor.copy_(noise)
    return model


# Model and tokenizer by kind.
KINDS = {
    "vit": lambda: (CLIP(VisionTransformer(), TextTransformer()), SimpleTokenizer()),
    "old": lambda: (
        CLIP(VisionTransformer("avg", output_tokens=True), TextTransformer(old=True)),
        SimpleTokenizer(),
    ),
    "siglip": lambda: (
        CustomTextCLIP(VisionTransformer(), TextTransformer("last", causal=False)),
        SigLipTokenizer(),
    ),
    "clipa": lambda: (
        CustomTextCLIP(ModifiedResNet(), TextTransformer("last", causal=False)),
        ClipaTokenizer(),
    ),
    "resnet": lambda: (CLIP(ModifiedResNet(), TextTransformer()), SimpleTokenizer()),
    "hf": lambda: (CustomTextCLIP(VisionTransformer(), HFTextEncoder()), SimpleTokenizer()),
}


def build(kind: str, seed: int = 0) -> tuple[nn.Module, Transform, SimpleTokenizer]:
    """Model, transform and tokenizer, as open_clip returns them."""
    model, tokenizer = KINDS[kind]()
    return initialize(model, seed), Transform(), tokenizer
