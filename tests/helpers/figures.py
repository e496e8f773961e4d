"""Texts of figures."""

import matplotlib.pyplot as plt


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def title(ax):
    """The title, wherever the theme of the session puts it."""
    return ax.get_title() + ax.get_title(loc="left")


def no_figures():
    return not plt.get_fignums()
