"""Diagrams of the methods: boxes with shapes, arrows, and the losses."""

from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Face and edge of a box. The background is white, so that a diagram is legible on a dark page.
KINDS = {
    "input": ("white", "#7A7A7A"),
    "frozen": ("#DCE6F0", "#0072B2"),
    "trained": ("#FCE8CC", "#E69F00"),
    "loss": ("#F6D9CC", "#D55E00"),
}
BOX_HEIGHT = 0.72


class Box(NamedTuple):
    """A box at column x and row y, counted from the top left, and the boxes it leads to."""

    text: str
    kind: str  # one of KINDS
    x: float
    y: float
    to: tuple[str, ...] = ()
    width: float = 1.7


# By method, then by the name of the box.
DIAGRAMS = {
    "CLIP": {
        "image": Box("image", "input", 0, 0, ("encoder",), 1.1),
        "encoder": Box("image encoder", "frozen", 2, 0, ("logits",)),
        "prompts": Box('"a photo of\n$M$ ranks"', "input", 0, 1, ("text",), 1.1),
        "text": Box("text encoder", "frozen", 2, 1, ("logits",)),
        "logits": Box("logits $s$ $(M)$\nscale · cosine", "input", 4.2, 0.5, ("p",)),
        "p": Box("$p$ = softmax$(s)$", "input", 6.3, 0.5, ("value",)),
        "value": Box("value $\\hat y$\n$\\Sigma p_m a_m$", "input", 8.4, 0.5),
    },
    "NumCLIP": {
        "image": Box("image", "input", 0, 0, ("encoder",), 1.1),
        "encoder": Box("image encoder\n$v$ $(D)$", "frozen", 1.9, 0, ("adapter",)),
        "adapter": Box("adapter\n$.8\\,A(v)+.2\\,v$", "trained", 4, 0, ("s",)),
        "phrases": Box("phrases of\n$d$ bins", "trained", 0, 1.3, ("text",), 1.1),
        "text": Box("text encoder\n$t$ $(d, D)$", "frozen", 1.9, 1.3, ("s",)),
        "s": Box("logits $s$ $(d)$\nscale · cosine", "input", 6.1, 0.65, ("fcrc", "delta")),
        "delta": Box("regressor\n$\\delta(s)$ $(d)$", "trained", 8.2, 0.65, ("value",)),
        "value": Box("value $\\hat y$\n$\\Sigma p_i b_i/(1+\\delta_i)$", "input", 10.5, 0.65,
                     ("l1",), 2.2),
        "fcrc": Box("FCRC\n+ text-to-image KL", "loss", 6.1, 1.95, (), 2.2),
        "l1": Box("$|\\hat y - y|$", "loss", 10.5, 1.95),
    },
    "L2RCLIP": {
        "image": Box("image", "input", 0, 0, ("encoder",), 1.1),
        "encoder": Box("image encoder", "frozen", 1.9, 0, ("adapter",)),
        "adapter": Box("adapter\n$v$ $(D)$", "trained", 4, 0, ("logits", "pair")),
        "prompts": Box("prompts of $M$\nranks $R$ $(M,L,W)$", "trained", 0.4, 1.6, ("f",), 2),
        "f": Box("RankFormer\n$(1-\\alpha)R+\\alpha F(R)$", "trained", 3.1, 1.6, ("text",), 2.4),
        "text": Box("text encoder\n$t$ $(M, D)$", "frozen", 5.7, 1.6, ("logits", "pair")),
        "logits": Box("logits $s$ $(M)$", "input", 8.4, 0.3, ("ce",)),
        "pair": Box("distances\n$\\|v - t_m\\|$", "input", 8.4, 1.6, ("push",)),
        "ce": Box("cross-entropy\n+ contrastive, both ways", "loss", 11.1, 0.3, (), 2.7),
        "push": Box("tightness + diversity", "loss", 11.1, 1.6, (), 2.7),
    },
    "ranking adapter": {
        "image": Box("patches of $N$ images\n$(N, P, W)$", "frozen", 0.5, 0, ("block",), 2.3),
        "text": Box("tokens of a sentence\n$(T, W)$", "frozen", 0.5, 1.3, ("block",), 2.3),
        "block": Box("self-attention, then\ncross-attention to words", "trained", 3.4, 0.65,
                     ("encoder",), 2.6),
        "encoder": Box("encoder\n$(N, P, W)$", "trained", 5.9, 0.65, ("score", "pair")),
        "score": Box("regression head\nscores $(N)$", "trained", 8.1, 0, ("l1",), 2),
        "pair": Box("ranking head\n16 questions, $(N, N)$", "trained", 8.1, 1.3, ("bce",), 2.2),
        "l1": Box("$0.2\\,\\log(1+$ smooth L1$)$", "loss", 10.8, 0, (), 2.4),
        "bce": Box("BCE over pairs\n(training only)", "loss", 10.8, 1.3, (), 2.4),
    },
}  # fmt: skip


def method_diagram(method: str, ax: Axes | None = None) -> Axes:
    """Diagram of a method, one of ``DIAGRAMS``: what is frozen, what is trained, and the losses.

    Raises:
        ValueError: unknown method.
    """
    if method not in DIAGRAMS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(DIAGRAMS)}")
    boxes = DIAGRAMS[method]
    columns = max(box.x + box.width / 2 for box in boxes.values())
    rows = max(box.y for box in boxes.values()) + 1
    ax = ax or plt.subplots(figsize=(0.92 * (columns + 1), 0.95 * (rows + 0.2)))[1]
    for box in boxes.values():
        _draw_box(ax, box)
        for name in box.to:
            _draw_arrow(ax, box, boxes[name])
    for kind in dict.fromkeys(box.kind for box in boxes.values() if box.kind != "input"):
        face, edge = KINDS[kind]
        ax.scatter([], [], marker="s", s=90, facecolor=face, edgecolor=edge, label=kind)
    left = min(box.x - box.width / 2 for box in boxes.values())
    ax.set(xlim=(left - 0.1, columns + 0.1), ylim=(rows - 0.1, -0.9), aspect="auto")
    ax.legend(loc="upper left", ncols=3, fontsize=9, frameon=False, borderaxespad=0)
    ax.set_axis_off()
    return ax


def _draw_box(ax: Axes, box: Box) -> None:
    face, edge = KINDS[box.kind]
    corner = box.x - box.width / 2, box.y - BOX_HEIGHT / 2
    patch = plt.Rectangle(corner, box.width, BOX_HEIGHT, facecolor=face, edgecolor=edge, lw=1.6)
    ax.add_patch(patch)
    ax.text(box.x, box.y, box.text, ha="center", va="center", fontsize=9.5, color="black")


def _draw_arrow(ax: Axes, start: Box, end: Box) -> None:
    """Draw an arrow to the right, or down where the boxes share a column."""
    if start.x == end.x:
        begin, stop = (start.x, start.y + BOX_HEIGHT / 2), (end.x, end.y - BOX_HEIGHT / 2)
    else:
        begin, stop = (start.x + start.width / 2, start.y), (end.x - end.width / 2, end.y)
    ax.annotate("", stop, begin, arrowprops={"arrowstyle": "-|>", "color": "#444444", "lw": 1.2})
