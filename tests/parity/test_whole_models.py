"""NumCLIP, OrdinalCLIP and L2RCLIP as released: forward, loss and one step equal plain loops.

The references use transformers' CLIP as it is, one prompt and one image after the other, and follow
the descriptions of the released codes; the prompts' embeddings enter through a hook.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from transformers import AutoTokenizer, CLIPModel

from ordlib import L2RCLIP, NumCLIP, OrdinalCLIP, OrdinalTask, load_clip

AGES = torch.tensor([0.0, 12, 13, 33, 40, 64, 80])
EDGES, CONCEPTS = (0, 13, 19, 35, 65), ("child", "teenager", "young adult", "adult", "old")
NAMES = ("zero", "twenty one", "two", "sixty three", "four")
LEARNING_RATE, SEED = 1e-3, 3


@pytest.fixture
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def plain(tiny_clip_folder):
    return CLIPModel.from_pretrained(tiny_clip_folder, dtype=torch.float32).eval()


@pytest.fixture
def pixels(clip, noise_images):
    return clip.preprocess(noise_images)


@pytest.fixture
def words(tiny_clip_folder, plain):
    """Function from a text to the embeddings of its tokens, without start and end."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip_folder)

    def embed(text):
        ids = tokenizer(text)["input_ids"][1:-1] if text else []
        table = plain.text_model.embeddings.token_embedding.weight.detach()
        return table[torch.tensor(ids, dtype=torch.int64)].clone()

    return embed


def text_feature(plain, parts):
    """Feature of one prompt of embeddings between start and end, at all 77 positions."""
    embedding = plain.text_model.embeddings.token_embedding
    end_id = plain.config.text_config.eos_token_id
    start, end = embedding.weight.detach()[[plain.config.text_config.bos_token_id, end_id]]
    prompt = torch.cat([start[None], *parts, end[None]])
    ids = torch.zeros(1, 77, dtype=torch.int64)
    ids[0, len(prompt) - 1] = end_id  # transformers pools there
    padded = F.pad(prompt, (0, 0, 0, 77 - len(prompt)))[None]
    handle = embedding.register_forward_hook(lambda *_: padded)
    try:
        return plain.get_text_features(input_ids=ids).pooler_output[0]
    finally:
        handle.remove()


def cosine(a, b):
    return a @ b / (a.norm() * b.norm())


def cross_entropy(rows, targets):
    losses = [
        torch.stack([x - row[target] for x in row]).exp().sum().log()
        for row, target in zip(rows, targets, strict=True)
    ]
    return sum(losses) / len(losses)


def text_to_image_kl(rows, targets, weight):
    """Mean over the classes that occur; ``weight(image, class)`` multiplies the logits."""
    divergences = []
    for label in sorted(set(targets)):
        column = [weight(i, label) * row[label] for i, row in enumerate(rows)]
        target = [math.exp(10.0 * (t == label)) for t in targets]
        target = [t / sum(target) for t in target]
        total = torch.stack(column).exp().sum().log()
        terms = [t * (math.log(t) - x + total) for t, x in zip(target, column, strict=True)]
        divergences.append(sum(terms))
    return sum(divergences) / len(divergences)


def trained_parameters(model):
    return [p for p in model.parameters() if p.requires_grad]


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def assert_same_image_encoder(model, plain):
    ours = dict(model.image_encoder.encoder.named_parameters())
    for name, parameter in plain.named_parameters():
        if name.startswith(("vision_model.", "visual_projection.")):
            key = name.replace("vision_model.", "vision.").replace(
                "visual_projection", "projection"
            )
            assert_close(ours[key], parameter, rtol=1e-4, atol=1e-6)


class PlainNumCLIP:
    """NumCLIP for ages: five concepts, their lower ages, the whole image encoder trained."""

    def __init__(self, plain, words, regressor, adapter):
        self.plain, self.scale = plain, plain.logit_scale.exp().item()
        self.context, self.stop = words("age estimation: the person is a"), words(".")
        self.concepts = [words(concept).requires_grad_() for concept in CONCEPTS]
        self.regressor = [p.detach().clone().requires_grad_() for p in regressor.parameters()]
        self.adapter = [p.detach().clone().requires_grad_() for p in adapter.parameters()]
        plain.requires_grad_(False)
        for part in (plain.vision_model, plain.visual_projection):
            part.requires_grad_(True)
        trained = [p for p in plain.parameters() if p.requires_grad]
        self.parameters = [*self.concepts, *self.regressor, *self.adapter, *trained]

    def logits(self, pixels):
        texts = [text_feature(self.plain, [self.context, c, self.stop]) for c in self.concepts]
        rows = []
        for image in pixels:
            v = self.plain.get_image_features(pixel_values=image[None]).pooler_output[0]
            adapted = (self.adapter[1] @ (self.adapter[0] @ v).relu()).relu()
            v = 0.8 * adapted + 0.2 * v
            rows.append([self.scale * cosine(v, text) for text in texts])
        return rows

    def age(self, row):
        w1, b1, w2, b2 = self.regressor
        s = torch.stack(row)
        delta = (w2 @ (w1 @ s + b1).relu() + b2).tanh()
        p = s.exp() / s.exp().sum()
        return sum(p[i] * EDGES[i] / (1 + delta[i]) for i in range(5))

    def loss(self, pixels, ages):
        bins = [max(i for i in range(5) if age >= EDGES[i]) for age in ages]
        rows, d = self.logits(pixels), 5
        weighted = []
        for row, c in zip(rows, bins, strict=True):
            total = sum(abs(c - k) for k in range(d))
            weights = [1.0 if j == c else (d - 1) * abs(c - j) / total for j in range(d)]
            weighted.append([w * s for w, s in zip(weights, row, strict=True)])

        def weight(image, label):
            total = sum(abs(label - c) for c in bins)
            same = bins[image] == label
            return 1.0 if same else (d - 1) * abs(label - bins[image]) / total

        errors = [(self.age(row) - age).abs() for row, age in zip(rows, ages, strict=True)]
        kl = text_to_image_kl(rows, bins, weight)
        return cross_entropy(weighted, bins) + kl + sum(errors) / len(errors)


def test_numclip(clip, plain, words, pixels):
    task = OrdinalTask(
        name="age",
        unit="years",
        values=tuple(range(81)),
        bin_edges=EDGES,
        bin_phrases=CONCEPTS,
        bin_templates=("age estimation: the person is a {rank}",),
    )
    model = NumCLIP(
        clip,
        task,
        image_encoder="full",
        fcrc_form="released",
        scale_error=False,
        scale_anchors=False,
        min_divisor=0.0,
        bin_anchor="edge",
        suffix=".",
        seed=SEED,
    )
    for layer in (model.regressor.layers[0], model.regressor.layers[2]):
        torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(layer.bias, std=0.1)
    reference = PlainNumCLIP(plain, words, model.regressor, model.image_encoder.adapter)
    optimizers = [
        torch.optim.RAdam(trained_parameters(model), LEARNING_RATE),
        torch.optim.RAdam(reference.parameters, LEARNING_RATE),
    ]
    for _ in range(2):
        ours = step(optimizers[0], model.loss(model.encode(pixels), AGES))
        theirs = step(optimizers[1], reference.loss(pixels, AGES.tolist()))
        assert ours == pytest.approx(theirs, rel=1e-5)
    with torch.no_grad():
        logits = model.logits(model.encode(pixels))
        rows = reference.logits(pixels)
        assert_close(logits, torch.tensor(rows), rtol=1e-4, atol=1e-4)
        ages = torch.stack([reference.age(row) for row in rows])
    assert_close(model.regressor(logits, model.anchors), ages, rtol=1e-4, atol=1e-4)
    assert_same_image_encoder(model, plain)
    embeddings = model.prompt_learner.rank_embeddings.embeddings
    for row, concept in zip(embeddings, reference.concepts, strict=True):
        assert_close(row[: len(concept)], concept, rtol=1e-4, atol=1e-6)


class PlainOrdinalCLIP:
    """OrdinalCLIP: random context, base ranks with all their tokens, linear weights."""

    def __init__(self, plain, words, context, num_ranks, base_names):
        self.plain, self.scale, self.num_ranks = plain, plain.logit_scale.exp().item(), num_ranks
        self.stop = words(".")
        self.context = context.detach().clone().requires_grad_()
        parts = [words(name) for name in base_names]
        padding = plain.text_model.embeddings.token_embedding.weight.detach()[:1]
        longest = max(map(len, parts))
        base = [torch.cat([p, padding.expand(longest - len(p), -1)]) for p in parts]
        self.base = torch.stack(base).requires_grad_()
        plain.requires_grad_(False)
        for part in (plain.vision_model, plain.visual_projection):
            part.requires_grad_(True)
        trained = [p for p in plain.parameters() if p.requires_grad]
        self.parameters = [self.context, self.base, *trained]

    def logits(self, pixels):
        texts, last, count = [], self.num_ranks - 1, len(self.base)
        for rank in range(self.num_ranks):
            weights = [1 - abs(rank - k * last / (count - 1)) / last for k in range(count)]
            mixed = sum(w / sum(weights) * b for w, b in zip(weights, self.base, strict=True))
            texts.append(text_feature(self.plain, [self.context, mixed, self.stop]))
        images = [
            self.plain.get_image_features(pixel_values=x[None]).pooler_output[0] for x in pixels
        ]
        return [[self.scale * cosine(v, text) for text in texts] for v in images]

    def loss(self, pixels, ranks):
        rows = self.logits(pixels)
        return cross_entropy(rows, ranks) + text_to_image_kl(rows, ranks, lambda *_: 1.0)


@pytest.fixture
def five():
    return OrdinalTask(name="five", unit="points", values=tuple(range(5)), rank_names=NAMES)


def test_ordinalclip(clip, plain, words, pixels, five):
    options = {"image_encoder": "full", "adapter": False, "n_ctx": 10, "suffix": ".", "seed": SEED}
    model = OrdinalCLIP(clip, five, **options, num_tokens_per_rank=None)
    reference = PlainOrdinalCLIP(plain, words, model.prompt_learner.context, 5, NAMES[::2])
    optimizers = [
        torch.optim.RAdam(trained_parameters(model), LEARNING_RATE),
        torch.optim.RAdam(reference.parameters, LEARNING_RATE),
    ]
    ranks = [0, 1, 1, 2, 3, 4, 4]
    for _ in range(2):
        ours = step(optimizers[0], model.loss(model.encode(pixels), torch.tensor(ranks).float()))
        theirs = step(optimizers[1], reference.loss(pixels, ranks))
        assert ours == pytest.approx(theirs, rel=1e-5)
    with torch.no_grad():
        logits = model.logits(model.encode(pixels))
        assert_close(logits, torch.tensor(reference.logits(pixels)), rtol=1e-4, atol=1e-4)
    assert_same_image_encoder(model, plain)
    assert_close(model.prompt_learner.rank_embeddings.base, reference.base, rtol=1e-4, atol=1e-6)
    assert_close(model.prompt_learner.context, reference.context, rtol=1e-4, atol=1e-6)


def unit(a):
    return a / a.norm()


def contrastive(rows, positives):
    """Supervised contrastive loss of the rows; one without a positive adds 0."""
    losses = []
    for row, own in zip(rows, positives, strict=True):
        total = torch.stack(list(row)).exp().sum().log()
        terms = [total - s for s, positive in zip(row, own, strict=True) if positive]
        losses.append(sum(terms) / len(terms) if terms else torch.tensor(0.0))
    return sum(losses) / sum(any(own) for own in positives)


def plain_l2rclip_loss(rows, images, texts, ranks):
    """Classification, contrast in both directions, tightness and diversity."""
    num_ranks = len(texts)
    positives = [[rank == m for m in range(num_ranks)] for rank in ranks]
    loss = cross_entropy(rows, ranks) + contrastive(rows, positives)
    columns = list(zip(*rows, strict=True))
    loss = loss + contrastive(columns, list(zip(*positives, strict=True)))
    distances = [[(v - t).norm() for t in texts] for v in images]
    tightness = [row[rank] ** 2 for row, rank in zip(distances, ranks, strict=True)]
    gaps = [[abs(rank - m) for m in range(num_ranks)] for rank in ranks]
    low, high = min(map(min, gaps)), max(map(max, gaps))
    weights = [[(gap - low) / high for gap in row] for row in gaps]
    diversity = [
        w * d for pair in zip(weights, distances, strict=True) for w, d in zip(*pair, strict=True)
    ]
    return loss + sum(tightness) / len(tightness) - sum(diversity) / len(diversity)


def test_l2rclip_without_rankformer(clip, plain, words, pixels, five):
    """What is released of L2RCLIP: the losses, around prompts and image encoder of CLIP."""
    options = {"image_encoder": "full", "adapter": False, "attention_over": "off", "seed": SEED}
    model = L2RCLIP(clip, five, **options, template="a photo of {rank}")
    context = words("a photo of").requires_grad_()
    names = [words(name).requires_grad_() for name in NAMES]
    plain.requires_grad_(False)
    for part in (plain.vision_model, plain.visual_projection):
        part.requires_grad_(True)
    trained = [p for p in plain.parameters() if p.requires_grad]
    momentum = {"lr": LEARNING_RATE, "momentum": 0.9}
    optimizers = [
        torch.optim.SGD(trained_parameters(model), **momentum),
        torch.optim.SGD([context, *names, *trained], **momentum),
    ]
    ranks, scale = [0, 1, 1, 2, 3, 4, 4], plain.logit_scale.exp().item()

    def features():
        texts = [unit(text_feature(plain, [context, name])) for name in names]
        vectors = [plain.get_image_features(pixel_values=x[None]).pooler_output[0] for x in pixels]
        return [unit(v) for v in vectors], texts

    for _ in range(2):
        images, texts = features()
        rows = [[scale * v @ t for t in texts] for v in images]
        theirs = step(optimizers[1], plain_l2rclip_loss(rows, images, texts, ranks))
        ours = step(optimizers[0], model.loss(model.encode(pixels), torch.tensor(ranks).float()))
        assert ours == pytest.approx(theirs, rel=1e-5)
    with torch.no_grad():
        images, texts = features()
        expected = scale * torch.stack(images) @ torch.stack(texts).T
        assert_close(model.logits(model.encode(pixels)), expected, rtol=1e-4, atol=1e-3)
    assert_same_image_encoder(model, plain)
