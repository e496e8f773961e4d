# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here: how wrong is wrong?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/ordlib/blob/main/notebooks/00_start_here.ipynb)
#
# **After this you can** tell ordinal regression from its two neighbours, read an
# `OrdinalTask`, compute six metrics by hand, and work the labs of this course.
#
# | prerequisites | to read | to run, CPU | to run, Colab T4 |
# |---|---|---|---|
# | Python and a little NumPy; no notebook before this one | 30 minutes | about 1 minute | about 1 minute |

# %%
# Set-up, the same in every notebook: on Colab it installs ordlib first.
try:
    from ordlib import notebook
except ModuleNotFoundError:
    # %pip install -q "ordlib @ git+https://github.com/OWNER/ordlib"
    from ordlib import notebook

# %% tags=["parameters"]
backbone: str = "pico-clip"  # CLIP checkpoint, for the notebooks after this one
seed: int = 0  # of everything random below
device: str = "auto"  # where a backbone runs: "auto", "cpu", "cuda" or "mps"
budget: str = "quick"  # "quick", or "full" for larger pictures

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ordlib import evaluate, load_data, load_task, metrics, plots, widgets
from ordlib.checks import start_here as check
from ordlib.models.pixels import PixelRidge, PixelTrees

notebook.start(seed, budget)
results = notebook.Results("00_start_here")

# %% [markdown]
# ## Four questions that have more than one wrong answer
#
# *How many? Which decade? How old? How good?* The answers to such questions stand in an
# **order**, and that changes what a mistake is. If seven stars are in a picture, "eight" is
# a slip and "nineteen" is nonsense. A **classifier** does not see the difference: its loss
# treats every wrong class alike. A **regressor** sees it, but believes that labels are
# points on an even ruler, and that 3.7 stars is a fine thing to say. **Ordinal regression**
# lies between: the answers are separate *ranks*, like classes, and they have an order and
# distances, like numbers.
#
# This course asks why CLIP, which tells a cat from a dog, cannot tell three cats from five,
# and how to teach it. It uses four tasks. Their pictures are drawn or cropped on your
# machine, so nothing has to be downloaded; they mirror the data sets of the papers.
#
# | task | label | mirrors |
# |---|---|---|
# | counting | 1 to 20 objects | object-count sorting |
# | dating | five decades, 1930s to 1970s | Historical Color Images |
# | ageing | 1 to 90 years | MORPH, Adience, UTKFace |
# | quality | opinion scores from 1.0 to 5.0 | KonIQ-10k, AVA |

# %%
names = ["counting", "dating", "ageing", "quality"]
side = 96 if budget == "quick" else 224
train = {name: load_data(name, "train", side=side) for name in names}
val = {name: load_data(name, "val", side=side) for name in names}

# %% [markdown]
# **Before you run the next cell:** the pictures in each strip are ordered by their label.
# In which of the four strips could *you* find the order without the labels? In which would
# two people disagree?

# %%
fig, axes = plt.subplots(4, 1, figsize=(10, 7.6))
for ax, name in zip(axes, names):
    data = val[name]
    order = np.argsort(data.values, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, 8).astype(int)]
    titles = [data.task.label_of(data.ranks[i]) for i in chosen]
    if name == "quality":
        titles = [f"{data.values[i]:.1f}" for i in chosen]
    plots.contact_sheet([data[i] for i in chosen], titles, ax=ax)
    ax.set_title(f"{name} ({data.task.unit})")
fig.tight_layout()

# %% [markdown]
# *Figure 1. Eight pictures of each task, ordered by label: glyphs on backgrounds from one to
# twenty, scenes in the look of five film eras, drawn portraits from one to ninety years,
# photographs from bad to excellent.*
#
# **What you should see.** Counting is tedious but certain: anybody gets it right with
# patience. The other three are judgements: every single cue (a grey hair, a brown tint, a
# little blur) is unreliable, and only many cues together tell. That is deliberate.
#
# **If you see X instead.** *A progress bar for a minute*: the pictures are being drawn for
# the first time; the second run reads them from disk. *No space left on device*: they take
# about 300 MB; `ordlib doctor` says where they lie, and the variable `ORDLIB_CACHE` moves
# them.

# %% [markdown]
# ## What a task is
#
# Everything a method needs to know about the labels is stated once, in an `OrdinalTask`:
# the ranks in their order, a **word** for each, a **prompt template**, and a few coarse
# **bins** with a phrase of common language each. CLIP reads words, so the words are as much
# a part of the task as the numbers.

# %%
# NBVAL_CHECK_OUTPUT
counting = load_task("counting")
print(counting)
print(counting.prompts(object="umbrellas")[:3])
print(dict(zip(counting.bin_edges, counting.bin_phrases)))

# %% [markdown]
# The same four things, for four very different tasks. Note that decades are *names* that
# stand one decade apart, and that quality has float labels: 3.4 is a fine label, and its
# *rank* is the nearest of the five words.

# %%
# NBVAL_CHECK_OUTPUT
rows = {}
for name in [*names, "adience"]:
    task = load_task(name)
    first, *_, last = task.words
    rows[name] = [task.num_ranks, task.unit, first, last, task.num_bins]
pd.DataFrame(rows, index=["ranks", "unit", "first word", "last word", "bins"]).T

# %% [markdown]
# `adience` is a real data set's task: eight age groups that are neither equally wide nor
# equally far apart. No method in `ordlib` assumes that ranks are evenly spaced.
#
# ## Six metrics, by hand
#
# Six pictures, two imaginary models. **Before you read on:** which model would you rather
# have, and does your answer depend on what you want it for?

# %%
truth = np.array([2, 5, 9, 14, 3, 20])
model_a = np.array([2, 5, 9, 4, 13, 20])
model_b = np.array([3, 6, 10, 13, 4, 19])
pd.DataFrame({"truth": truth, "model A": model_a, "model B": model_b}).T

# %% [markdown]
# Model A is right four times and ten off twice. Model B is never right and never more than
# one off. Each metric is one line of NumPy:
#
# * **MAE**, the mean absolute error, in the task's unit: how far off, on average;
# * **accuracy**: the share of pictures whose nearest rank is the true one;
# * **off-by-one accuracy**: the share at most one rank off;
# * **pairwise accuracy**: of all pairs of pictures with different labels, the share put in
#   the right order, ties counting one half;
# * **Spearman** correlation: the correlation of the places in the two orders;
# * **quadratic-weighted kappa**: agreement beyond chance, where a miss costs its square.

# %%
# NBVAL_CHECK_OUTPUT
def by_hand(predicted):
    error = predicted - truth
    i, j = np.triu_indices(len(truth), 1)
    order = np.sign(predicted[i] - predicted[j]) * np.sign(truth[i] - truth[j])
    places = [np.argsort(np.argsort(x)) for x in (truth, predicted)]
    return {
        "mae": abs(error).mean(),
        "accuracy": (error == 0).mean(),
        "off_by_one": (abs(error) <= 1).mean(),
        "pairwise": ((1 + order) / 2).mean(),
        "spearman": np.corrcoef(*places)[0, 1],
    }


hand = pd.DataFrame({"model A": by_hand(model_a), "model B": by_hand(model_b)}).T
hand.round(3)

# %% [markdown]
# By library, the same and kappa. `score` takes the task along, because only the task knows
# which rank is nearest and in which unit an error is counted.

# %%
# NBVAL_CHECK_OUTPUT
library = pd.DataFrame(
    {
        "model A": metrics.score(counting, truth, counting.read_values(model_a)),
        "model B": metrics.score(counting, truth, counting.read_values(model_b)),
    }
).T
assert np.allclose(library[hand.columns], hand)
library[[*hand.columns, "kappa"]].round(3)

# %%
for model in library.index:
    for metric in ("mae", "accuracy"):
        results[f"{model}.{metric}"] = library.loc[model, metric]

# %% [markdown]
# **What you should see.** Accuracy prefers model A, 0.67<!--=model A.accuracy--> against
# 0.00<!--=model B.accuracy-->. MAE prefers model B,
# 1.00<!--=model B.mae--> against 3.33<!--=model A.mae--> objects. Neither is wrong; they
# answer different questions. If a miscount by ten sinks a ship, take B.

# %% [markdown]
# ## How far do plain pixels get?
#
# Before any CLIP, an honest question: does a task have a *shortcut*? Two baselines look at
# pixels without understanding them. **Pixel ridge** sees a 12 x 12 thumbnail and colour
# histograms and draws a straight line; **pixel trees** see histograms and edge energies and
# grow boosted trees. And a third predictor sees nothing: it always says the **middle** of the
# training labels.
#
# **Before you run the next cell:** for which task will pixels do best: counting, dating,
# ageing or quality?

# %%
class Middle:
    """Says the median of the training labels, whatever the picture."""

    def __init__(self, task):
        self.task = task

    def fit(self, train):
        self.median = np.median(train.values)
        return self

    def predict(self, data):
        return self.task.read_values(np.full(len(data), self.median))


# %%
predictors = {"middle": Middle, "ridge": PixelRidge, "trees": PixelTrees}
evaluations = {}
for name in names:
    for label, kind in predictors.items():
        fitted = kind(val[name].task).fit(train[name])
        evaluations[name, label] = evaluate(fitted, val[name])

# %%
shown = ["mae", "accuracy", "off_by_one", "kappa", "spearman", "pairwise"]
table = pd.DataFrame({key: e.metrics for key, e in evaluations.items()}).T[shown]
for (name, label), row in table.iterrows():
    for metric, number in row[["mae", "accuracy", "spearman"]].dropna().items():
        results[f"{name}.{label}.{metric}"] = number
table.round(2)

# %% [markdown]
# **What you should see.** *Counting:* the thumbnail is nearly worthless, an MAE of
# 4.7<!--=counting.ridge.mae--> where a constant has 4.8<!--=counting.middle.mae-->. Edges
# are not: the trees come to 2.7<!--=counting.trees.mae--> objects, because more objects
# have more outline. Counts in real photographs have that shortcut too; whatever we teach
# CLIP later has to beat it. *Dating:* tint and grain are the task, so pixels help
# (Spearman 0.62<!--=dating.trees.spearman-->), but the five film looks overlap.
# *Ageing:* still about 16.7<!--=ageing.trees.mae--> years off, because age lies in
# the features of a face and not in its colours. *Quality:* the ridge is no better than the
# constant. It has learnt the training *photographs*, and validation shows other ones.
#
# Then look at accuracy on counting, where the two kinds of metric quarrel again: the
# constant is exactly right on 6<!--=counting.middle.accuracy--> % of the pictures and the
# ridge on 4<!--=counting.ridge.accuracy--> %, although the ridge is closer on average.
#
# **If you see X instead.** *Spearman of the constant is NaN*: that is right; a constant
# puts nothing in order, and an undefined number should not be printed as a zero. *The
# ridge is best at counting*: then colours or sizes give the count away in your version of
# the world; `ordlib audit counting` finds out which.
#
# ## One number is not enough: intervals
#
# A metric over 400 pictures is an estimate. `evaluate` draws the pictures again a thousand
# times, with replacement, and gives the middle 95 % of what the metric then was. Where
# pictures share something, whole groups are drawn. Quality's validation crops come from
# three photographs, so three photographs are drawn: far too few to trust its intervals.
#
# **Before you run the next cell:** from the table above, where would you dare to call a
# winner?

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2))
colours = {"middle": "red", "ridge": "grey", "trees": "purple"}
for ax, name in zip(axes, names):
    for place, (label, colour) in enumerate(colours.items()):
        mae = evaluations[name, label].intervals["mae"]
        ends = [[mae.estimate - mae.low], [mae.high - mae.estimate]]
        colour = plots.PALETTE[colour]
        ax.errorbar(place, mae.estimate, ends, fmt="o", color=colour, capsize=5)
    ax.set_xticks(range(3), list(colours))
    ax.set(title=name, ylabel=f"MAE ({val[name].task.unit})", xlim=(-0.5, 2.5))
    ax.set_ylim(bottom=0)
fig.tight_layout()

# %% [markdown]
# *Figure 2. Mean absolute error of three predictors on each task's validation split, with
# 95 % bootstrap intervals.*
#
# **What you should see.** Trees and ridge overlap on ageing and on dating: with 400
# pictures, do not crown a winner there. On counting the trees are clear of both.

# %% [markdown]
# **Before you run the next cell:** the trees are 2.7<!--=counting.trees.mae--> objects off
# on average. Are they equally wrong about three objects and about twenty?

# %%
truth, task = val["counting"].values, val["counting"].task
trees = evaluations["counting", "trees"].prediction
fig, axes = plt.subplots(1, 2, figsize=(10, 4.4))
purple = plots.METHOD_COLOURS["pixel trees"]
plots.predicted_against_true(truth, trees.value, task, purple, ax=axes[0])
plots.confusion(truth, trees.value, task, ax=axes[1])
fig.tight_layout()

# %% [markdown]
# *Figure 3. Pixel trees on counting. Left: each dot is a picture, the dashed line is
# perfection. Right: the same as a confusion matrix, each row summing to one.*
#
# **What you should see.** A cloud that leans the right way and widens: one and two are
# nearly certain, twenty is never said. A model that is unsure and wants a small error hides
# in the middle. You will meet this *shrinkage* with every method.
#
# ## Play: what moves which metric?
#
# First as a plain figure, so that you see it without running anything.

# %%
_ = widgets.draw_predictor(truth, task, bias=0, spread=2, hits=0.3)

# %% [markdown]
# *Figure 4. An imaginary model: three in ten exactly right, the rest off by a normal error
# of two objects.*
#
# Now with sliders. Find out: which metric does a constant **bias** leave untouched? How
# large may the **spread** get before Spearman notices? What do exact hits buy?

# %%
widgets.explore_predictor(truth, task)

# %% [markdown]
# And a second one, to get to know the pictures: choose a task and move through its ranks.

# %%
_ = widgets.draw_rank(val["counting"], rank=6)

# %%
widgets.explore_world(val)

# %% [markdown]
# ## Is this machine ready?
#
# `ordlib.doctor()` looks at everything that the course stands on, and says for each thing
# that is not right what to do. Here without network and paths, so that the answer is the
# same on every machine; in a terminal, `ordlib doctor` tells the rest.

# %%
# NBVAL_CHECK_OUTPUT
import ordlib

ordlib.doctor(network=False, paths=False)

# %% [markdown]
# ## How the labs work
#
# Every notebook has exercises. Each has a difficulty (● to ●●●), a time box, a hint that
# you can unfold, a stub to fill in, and a **check** that tells you what is wrong, not just
# that it is. The full notebooks have a folded solution below each stub; look when
# the time is up, not before. In `notebooks/labs/` stand the same notebooks without
# solutions. A check never stops the notebook:

# %%
# NBVAL_CHECK_OUTPUT
print(check.off_by_one(lambda truth, predicted: (truth == predicted).mean()))

# %% [markdown]
# ### Exercise 1 · Off by one ● 5 minutes
#
# Write the off-by-one accuracy of ranks: the share of pictures whose predicted rank is at
# most one away from the true one.
#
# <details><summary>Hint</summary>
#
# Subtract, take the absolute value, compare with 1, take the mean.
# </details>

# %%
def off_by_one(truth, predicted):
    """Share of (N,) predicted ranks at most one from the true ones, 0 to 1."""
    ...


check.off_by_one(off_by_one)

# %%
### BEGIN SOLUTION
def off_by_one_solved(truth, predicted):
    return (abs(predicted - truth) <= 1).mean()


check.off_by_one(off_by_one_solved)
### END SOLUTION

# %% [markdown]
# ### Exercise 2 · The same accuracy, another error ●● 10 minutes
#
# Invent the predictions of two models on these ten pictures (whole numbers from 1 to 20),
# so that both are right equally often and yet one has a smaller MAE. Then make the MAE of
# one *ten times* that of the other. Is there a limit?
#
# <details><summary>Hint</summary>
#
# Let both be right on the same seven pictures. On the other three, one model may be off by
# one; the other has a whole ruler to be wrong on.
# </details>

# %%
ten = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
careful = ...
careless = ...

check.two_predictors(ten, careful, careless)

# %%
### BEGIN SOLUTION
careful = ten + np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, -1])
careless = ten + np.array([19, 0, 0, 0, 0, 0, 0, 0, 0, -19])
check.two_predictors(ten, careful, careless)
### END SOLUTION

# %% [markdown]
# ### Exercise 3 · A task of your own ●● 15 minutes
#
# Think of pictures of yours that have an order: ripeness of fruit, stages of a disease,
# T-shirt sizes, the Beaufort scale. Write it as an `OrdinalTask` with at least four ranks
# that are *not* equally far apart, words that a caption would use, and at least two coarse
# bins. The same task object will later train every method of the course.
#
# <details><summary>Hint</summary>
#
# Ranks may be names: `values=("calm", "breeze", "gale", "storm")` with
# `positions=(0, 20, 70, 100)` in km/h. `bin_edges` are the lower ends of the bins on the
# same ruler, and each bin needs one of the `bin_phrases`.
# </details>

# %%
from ordlib import OrdinalTask

mine = ...

check.own_task(mine)

# %%
### BEGIN SOLUTION
mine = OrdinalTask(
    name="wind",
    unit="km/h",
    values=("calm", "breeze", "gale", "storm"),
    positions=(0, 20, 70, 100),
    templates=("a photo of the sea in a {rank}",),
    bin_edges=(0, 50),
    bin_phrases=("gentle wind", "dangerous wind"),
)
check.own_task(mine)
### END SOLUTION

# %% [markdown]
# ## What to take away
#
# * Ordinal labels have an order **and** distances. State them once, in an `OrdinalTask`.
# * Accuracy says how often, MAE how far, Spearman and pairwise accuracy only whether the
#   order is right. Report at least one of each kind, with an interval.
# * Look at a constant and at plain pixels first. What they reach is not understanding.
#
# **To read.** McCullagh, *Regression models for ordinal data* (1980), where it began.
# Gutiérrez and others, *Ordinal regression methods: survey and experimental study* (2016).
#
# **Where next.** Notebook 01 (in preparation) asks CLIP these four questions.

# %%
results.save()
