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
# **What you will find out.** Accuracy and error can disagree about which model is better: one that is
# never right can be off by 1.0<!--=model B.mae--> on average, one that is right in
# 67 %<!--=model A.accuracy--> of cases is off by 3.3<!--=model A.mae-->. Counting, a model that always
# answers the middle is 4.8<!--=counting.middle.mae--> objects off, and boosted decision trees on edges
# and colors, without knowing what an object is, 2.75<!--=counting.trees.mae-->. And some differences
# between models may be mere chance: an interval shows which are clear.
#
# **After this you can** distinguish ordinal regression from classification and from regression,
# read an `OrdinalTask`, compute six metrics by hand, and work the labs of this course.
#
# | prerequisites | to read | to run, CPU | to run, Colab T4 |
# |---|---|---|---|
# | Python and a little NumPy; no notebook before this one | 30 minutes, exercises 30 more | about 1 minute | about 1 minute |

# %%
try:  # Set-up, the same in every notebook: on Colab it installs ordlib first.
    from ordlib.course import notebook
except ImportError:
    print("Cannot install ordlib: this copy has no address. See README.md, Colab.")
    __import__("sys").modules.pop("ordlib", None)  # a folder of that name
    from ordlib.course import notebook

# %% tags=["parameters"]
backbone: str = "pico-clip"  # CLIP checkpoint, for the notebooks after this one
seed: int = 0  # of everything random below, here the bootstrap
device: str = "auto"  # where a backbone runs: "auto", "cpu", "cuda" or "mps"
budget: str = "quick"  # "quick", or "full" for larger images

# %% tags=["shared-with-solutions"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ordlib import OrdinalTask, evaluate, load_data, load_task, metrics
from ordlib.course import plots, widgets
from ordlib.course.checks import start_here as check
from ordlib.synthetic.pixel_baselines import PixelRidge, PixelTrees

notebook.setup(seed, budget)

# %% [markdown]
# ## Four questions that have more than one wrong answer
#
# *How many? Which decade? How old? How good?* The answers to such questions have an **order**, and
# that changes what a mistake is. If seven cats are in an image, "eight" is a slip and "nineteen" is
# nonsense. A **classifier** does not see the difference: its loss treats every wrong class alike. A
# **regressor** sees it, but assumes that labels are evenly spaced numbers, and that 3.7 cats is a
# sensible answer. **Ordinal regression** lies between: the answers are separate *ranks*, like
# classes, and they have an order and distances, like numbers.
#
# This course asks why CLIP, a model of images and texts that knows a cat from a dog, does not know
# three cats from five, and how to teach it. It uses four tasks. Their images are made on your machine,
# so nothing has to be downloaded. They stand in for the tasks and data sets on which the methods of
# this course were published:
#
# | task | label | stands in for |
# |---|---|---|
# | counting | 1 to 20 objects | object-count sorting |
# | dating | five decades, 1930s to 1970s | Historical Color Images |
# | ageing | 1 to 90 years | MORPH, Adience, UTKFace |
# | quality | opinion scores from 1.0 to 5.0 | KonIQ-10k, AVA |

# %%
names = ["counting", "dating", "ageing", "quality"]
image_size = 96 if budget == "quick" else 224
train = {name: load_data(name, "train", image_size=image_size) for name in names}
val = {name: load_data(name, "val", image_size=image_size) for name in names}

# %% [markdown]
# **Before you run the next cell:** the images in each strip are ordered by their label.
# In which of the four strips could *you* find the order without the labels? In which would
# two people disagree?

# %%
fig, axes = plt.subplots(4, 1, figsize=(10, 7.6))
for ax, name in zip(axes, names):
    data = val[name]
    order = np.argsort(data.values, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, 8).astype(int)]
    titles = [data.task.rank_label(data.ranks[i]) for i in chosen]
    if name == "quality":
        titles = [f"{data.values[i]:.1f}" for i in chosen]
    plots.contact_sheet([data[i] for i in chosen], titles, ax=ax)
    ax.set_title(f"{name} ({data.task.unit})")
fig.tight_layout()

# %% [markdown]
# *Figure 1. Eight images of each task, ordered by label: glyphs on backgrounds from one to
# twenty, scenes in the look of five film eras, drawn portraits from one to ninety years,
# photographs from bad to excellent.*
#
# **What you should see.** Counting is tedious, but with patience anybody gets it right. The other
# three are judgements: every single cue (a grey hair, a brown tint, a little blur) is unreliable,
# and only many cues together are reliable. That is deliberate.
#
# **If you see something else.** *A progress bar for a minute*: the images are being made for the first
# time; the second run reads them from disk. *No space left on device*: they take about 300 MB;
# `ordlib doctor` shows where they are stored, and the variable `ORDLIB_CACHE` moves them.

# %% [markdown]
# ## How the labs work
#
# Every notebook has exercises, next to the idea that they practise. Each has a difficulty (● to ●●●), a
# time box, a hint that you can unfold, unfinished code to complete, a link to its solution, and a
# **check** that names the mistake. No later cell needs your answer. `notebooks/labs/` has the same
# notebooks without outputs, so that you can predict them. Whatever your answer, a check prints what it
# found and the notebook goes on:

# %% tags=["nbval-check-output"]
print(check.off_by_one(lambda y_true, y_pred: (y_true == y_pred).mean()))

# %% [markdown]
# ## What a task is
#
# Everything a method needs to know about the labels is stated once, in an `OrdinalTask`: the ranks in
# their order, a **word** for each, a **prompt template**, and coarse **bins**, each with an everyday
# phrase (notebook 02 asks for the bin first, then for the place inside). CLIP reads words, so the words
# are as much a part of the task as the numbers.

# %% tags=["nbval-check-output"]
counting = load_task("counting")
print(counting)
print(counting.prompts(object="umbrellas")[:3])
print(dict(zip(counting.bin_edges, counting.bin_phrases)))

# %% [markdown]
# "One umbrellas" is on purpose: the noun is always plural, because otherwise grammar alone would
# reveal the count of one.
#
# Our four tasks, stated in the same way. Decades are *names* that stand one decade apart. Quality has
# labels between the ranks: an opinion may be 3.4 points, and its *rank* is the nearest of the five
# words.

# %% tags=["nbval-check-output"]
rows = {}
for name in names:
    task = load_task(name)
    first, *_, last = task.rank_names
    rows[name] = [task.num_ranks, task.unit, first, last, task.num_bins]
pd.DataFrame(rows, index=["ranks", "unit", "first word", "last word", "bins"]).T

# %% [markdown]
# Ranks need not be evenly spaced. Here each stage of a butterfly has the day in the middle of that
# stage: to call an egg a caterpillar is a mistake of 10 days, to call it a chrysalis one of 23.5. A
# predicted day is read as the nearest stage:

# %% tags=["nbval-check-output"]
butterfly = OrdinalTask(
    name="butterfly",
    unit="days",
    values=("egg", "caterpillar", "chrysalis", "butterfly"),
    positions=(2.5, 12.5, 26, 36),
)
[butterfly.rank_label(rank) for rank in butterfly.rank_index([2, 9, 14, 22, 33])]

# %% [markdown]
# ### Exercise 1 · A task of your own ●● 15 minutes
#
# Think of images of yours that have an order: ripeness of fruit, stages of a disease, T-shirt sizes,
# the Beaufort scale. Write it as an `OrdinalTask` with at least four ranks that are *not* equally far
# apart (say so by `positions`), words without digits that a caption would use, and coarse bins, at
# least two and fewer than the ranks. (The built-in tasks may have as many bins as ranks; yours should
# not.) Such an object is all that a method of this course needs to know about labels.
#
# <details><summary>Hint</summary>
#
# Start from the butterfly above. `bin_edges` are the lower ends of the bins on the same
# ruler as `positions`, numbers and not names, and each bin needs one of the `bin_phrases`:
# `bin_edges=(0, 20)` and `bin_phrases=("crawling", "waiting to fly")`, for example. A
# definition that makes no sense raises an error at once, and the error says how to correct it.
# </details>

# %%
my_task = ...

check.own_task(my_task)

# %% tags=["solution"]
# Storms are rare and far off; for many uses "gentle or dangerous" is enough.
my_task_solved = OrdinalTask(
    name="wind",
    unit="km/h",
    values=("calm", "breeze", "gale", "storm"),
    positions=(0, 20, 70, 100),
    templates=("a photo of the sea in a {rank}",),
    bin_edges=(0, 50),
    bin_phrases=("gentle wind", "dangerous wind"),
)
check.own_task(my_task_solved)

# %% [markdown]
# ## Six metrics, by hand
#
# Six images, two imaginary models. **Before you read on:** which model would you rather
# have, and does your answer depend on what you want it for?

# %%
widgets.choose("model A", "model B", "it depends")

# %%
y_true = np.array([2, 5, 9, 14, 3, 20])
model_a = np.array([2, 5, 9, 4, 13, 20])
model_b = np.array([3, 6, 10, 13, 4, 19])
pd.DataFrame({"truth": y_true, "model A": model_a, "model B": model_b}).T

# %% [markdown]
# Model A is right four times and ten off twice. Model B is never right and never more than
# one off. Each metric is a line or two of NumPy:
#
# * **MAE**, the mean absolute error, in the task's unit: how far off, on average;
# * **accuracy**: the share of images for which the rank nearest to the prediction is the true one;
# * **off-by-one accuracy**: the share at most one rank off;
# * **pairwise accuracy**: of all pairs of images with different labels, the share put in the right
#   order, ties counting one half (no two of our six labels are equal);
# * **Spearman** correlation: replace each true value, and each prediction, by its place in sorted
#   order, and correlate these places;
# * **quadratic-weighted kappa**: one minus a ratio, the mean squared error over what it would be if the
#   same predictions were assigned to the images at random: 1 is perfect, 0 is random.


# %% tags=["nbval-check-output"]
def by_hand(y_pred):
    error = y_pred - y_true
    i, j = np.triu_indices(len(y_true), 1)
    order = np.sign(y_pred[i] - y_pred[j]) * np.sign(y_true[i] - y_true[j])
    positions = [np.argsort(np.argsort(x)) for x in (y_true, y_pred)]
    by_chance = ((y_pred[:, None] - y_true[None, :]) ** 2).mean()
    return {
        "mae": abs(error).mean(),
        "accuracy": (error == 0).mean(),
        "off_by_one": (abs(error) <= 1).mean(),
        "pairwise": ((1 + order) / 2).mean(),
        "spearman": np.corrcoef(*positions)[0, 1],
        "kappa": 1 - (error**2).mean() / by_chance,
    }


hand = pd.DataFrame({"model A": by_hand(model_a), "model B": by_hand(model_b)}).T
hand.round(3)

# %% [markdown]
# ### Exercise 2 · Off by one ● 5 minutes
#
# Write the off-by-one accuracy of ranks: the share of images whose predicted rank is at
# most one away from the true one.
#
# <details><summary>Hint</summary>
#
# Subtract, take the absolute value, compare with 1, take the mean.
# </details>


# %%
def off_by_one(y_true, y_pred):
    """Share of (N,) predicted ranks at most one from the true ones, 0 to 1."""
    ...


check.off_by_one(off_by_one)


# %% tags=["solution"]
# The mean of a comparison is a share: True counts as one, False as nothing.
def off_by_one_solved(y_true, y_pred):
    return (abs(y_pred - y_true) <= 1).mean()


check.off_by_one(off_by_one_solved)

# %% [markdown]
# The library gives the same. `compute_metrics` takes the task as an argument, because only the task
# knows which rank is nearest and in which unit an error is counted; `decode_values` keeps the value
# for the MAE and rounds it to the nearest rank for accuracy.

# %% tags=["nbval-check-output"]
library = pd.DataFrame(
    {
        "model A": metrics.compute_metrics(
            counting, y_true, counting.decode_values(model_a)
        ),
        "model B": metrics.compute_metrics(
            counting, y_true, counting.decode_values(model_b)
        ),
    }
).T
assert np.allclose(library[hand.columns], hand)
library[hand.columns].round(3)

# %% [markdown]
# **What you should see.** Accuracy prefers model A, 0.67<!--=model A.accuracy--> against
# 0.00<!--=model B.accuracy-->. MAE prefers model B, 1.00<!--=model B.mae--> against
# 3.33<!--=model A.mae--> objects. Neither is wrong; they answer different questions. If
# only the exact number pays, take A. If a miscount by ten sinks a ship, take B.

# %% [markdown]
# ### Exercise 3 · The same accuracy, another error ●● 10 minutes
#
# Invent the predictions of two models on these ten images (whole numbers from 1 to 20), so that
# both are right equally often and yet the MAE of one is *at least ten times* that of the other. Is
# there a limit?
#
# <details><summary>Hint</summary>
#
# Let both be right on the same eight images. On the other two, one model may be off by
# one; the other has a whole ruler to be wrong on, if you choose two images at the ends.
# </details>

# %%
ten = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
careful = ...
careless = ...

check.two_predictors(ten, careful, careless)

# %% tags=["solution"]
# Only at the two ends of the ruler can a miss be 19 steps; the smallest miss is one.
ten = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
careful_solved = ten + np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, -1])
careless_solved = ten + np.array([19, 0, 0, 0, 0, 0, 0, 0, 0, -19])
check.two_predictors(ten, careful_solved, careless_solved)

# %% [markdown]
# Why a library at all, then? **Before you run the next cell:** model C says "nine" to every
# image. What is its Spearman correlation with the truth?

# %%
widgets.choose("0", "1", "it has none")

# %% tags=["nbval-check-output"]
model_c = np.full(6, 9)
print(f"by hand {by_hand(model_c)['spearman']:.2f}, with the library", end=" ")
print(metrics.spearman(y_true, model_c))

# %% [markdown]
# Our line of NumPy ranks equal values arbitrarily, and finds an order where there is none. A
# constant puts nothing in order, so the correlation does not exist, and the library says NaN rather
# than inventing a number. Ties are where home-made metrics go wrong.
#
# ## How far do plain pixels get?
#
# Before any CLIP, an honest question: does a task have a *shortcut*, a way to the answer that needs no
# understanding? Two baselines look at pixels without understanding them. **Pixel ridge** (a ridge
# regression, linear) sees a 12 x 12 thumbnail and the histogram of each color, and weighs them in one
# sum. **Pixel trees** see the histograms and how strong the edges are at four scales, and ask many
# small yes-or-no questions (boosted trees). And a third predictor sees nothing: it always says the
# **median** of the training labels, the constant with the smallest MAE.
#
# **Before you run the next cell:** for which task will pixels do best: counting, dating,
# ageing or quality?


# %%
widgets.choose("counting", "dating", "ageing", "quality")


# %%
class MedianBaseline:
    """Says the median of the training labels, whatever the image."""

    def __init__(self, task):
        self.task = task

    def fit(self, train):
        self.median = np.median(train.values)
        return self

    def predict(self, data):
        return self.task.decode_values(np.full(len(data), self.median))


# %%
predictors = {"middle": MedianBaseline, "ridge": PixelRidge, "trees": PixelTrees}
evaluations = {}
for name in names:
    for label, baseline in predictors.items():
        fitted = baseline(val[name].task).fit(train[name])
        evaluations[name, label] = evaluate(fitted, val[name], seed=seed)

# %%
shown = ["mae", "accuracy", "off_by_one", "kappa", "spearman", "pairwise"]
table = pd.DataFrame({key: e.metrics for key, e in evaluations.items()}).T[shown]
table.round(2) + 0.0  # turns -0.0 into 0.0

# %% [markdown]
# **What you should see.** By Spearman, pixels do best on *counting*
# (0.78<!--=counting.trees.spearman-->) and on *quality* (0.75<!--=quality.trees.spearman-->), both
# with the trees. More objects have more outline, and blur and noise change the edges. The ridge, which
# sees hardly any edges in its thumbnail, is close to the constant in both: an MAE of
# 4.7<!--=counting.ridge.mae--> objects against 4.8<!--=counting.middle.mae-->, and of
# 0.99<!--=quality.ridge.mae--> points against 1.01<!--=quality.middle.mae-->. *Dating* is helped by
# tint and grain (0.62<!--=dating.trees.spearman-->). These define the decade, but the looks of the
# decades overlap. In *ageing* the error falls from the constant's 22.0<!--=ageing.middle.mae-->
# years to 16.7<!--=ageing.trees.mae-->, perhaps because grey hair is a color. (NaN: a constant has
# no order. Other metrics may name another winner: see the column of pairwise accuracy.)
#
# Real images may well have the same shortcut to counting. Whatever we teach CLIP about
# number has to beat 2.75<!--=counting.trees.mae--> objects.
#
# **If you see something else.** *The ridge is the best at counting*: then colors or sizes
# give the count away in your version of the world; `ordlib course audit counting` finds out which.
# *Everything equals the middle row*: the labels no longer belong to the images.
#
# ## One number is not enough: intervals
#
# A metric over 400 images is an estimate: another 400 would give another value. The **bootstrap**
# imitates that. It picks 400 of the 400 images at random, with repeats, computes the metric, and does
# so a thousand times; the middle 95 % of the values are the interval. Where images belong together,
# whole groups are picked. Quality's validation images are crops of three photographs, so it can only
# pick among three, far too few: its intervals are too narrow.
#
# **Before you run the next cell:** from the table above, where would you dare to call a
# winner between ridge and trees?

# %%
widgets.choose("counting", "dating", "ageing")

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2))
methods = {"middle": "middle", "ridge": "pixel ridge", "trees": "pixel trees"}
for ax, name in zip(axes, names):
    for place, (label, method) in enumerate(methods.items()):
        mae = evaluations[name, label].intervals["mae"]
        error_bars = [[mae.estimate - mae.low], [mae.high - mae.estimate]]
        color = plots.METHOD_COLORS[method]
        ax.errorbar(place, mae.estimate, error_bars, fmt="o", color=color, capsize=5)
    ax.set_xticks(range(3), list(methods))
    ax.set(title=name, ylabel=f"MAE ({val[name].task.unit})", xlim=(-0.5, 2.5))
    ax.set_ylim(bottom=0)
fig.tight_layout()

# %% [markdown]
# *Figure 2. Mean absolute error of three predictors on each task's validation split, with 95 %
# bootstrap intervals.*
#
# On counting, trees and ridge are far apart. On dating and ageing their bars overlap. A draw? **Think
# before you read on:** both models saw the *same* images. An image that is hard for one is hard for the
# other, and that shared luck is in both bars. It cancels in the **difference**, so compute the interval
# of that (without quality and its three photographs):


# %%
def gap(name, first, second):
    """Mean difference of the absolute errors of two models, with its interval."""
    values = [evaluations[name, label].prediction.value for label in (first, second)]
    worse, better = (abs(value - val[name].values) for value in values)
    groups = val[name].groups
    return metrics.bootstrap(np.mean, worse - better, groups=groups, seed=seed)


gaps = {name: gap(name, "ridge", "trees") for name in names[:3]}
pd.DataFrame(gaps, index=["ridge - trees", "low", "high"]).T.round(2)

# %%
right = {
    label: evaluations["counting", label].prediction.label == val["counting"].values
    for label in ("middle", "ridge")
}
advantage = right["middle"].astype(float) - right["ridge"]
advantage = metrics.bootstrap(np.mean, advantage, seed=seed)
print("accuracy on counting, middle - ridge:", advantage)

# %% [markdown]
# **What you should see.** On dating the trees are better after all, by 0.07<!--=gap.dating--> decades,
# and the interval of the difference, whose low end is 0.02<!--=gap.dating.low-->, does not contain
# zero. On ageing it contains zero, well inside: 400 images do not show a difference. So do not judge by
# bars that overlap: judge by the interval of the difference.
#
# And look back at the accuracies on counting, 6<!--=counting.middle.accuracy--> % for the constant
# against 4<!--=counting.ridge.accuracy--> % for the ridge. Is the constant the better model? By the
# interval of that difference, -0.005<!--=gap.accuracy.low--> to 0.05<!--=gap.accuracy.high-->, one
# cannot say.
#
# **Before you run the next cell:** the trees are 2.75<!--=counting.trees.mae--> objects off
# on average. Are they equally wrong about three objects and about twenty?

# %%
widgets.choose("equally", "more about three", "more about twenty")

# %%
y_true, task = val["counting"].values, val["counting"].task
trees = evaluations["counting", "trees"].prediction
fig, axes = plt.subplots(1, 2, figsize=(10, 4.4))
color = plots.METHOD_COLORS["pixel trees"]
plots.predicted_against_true(y_true, trees.value, task, color, ax=axes[0])
plots.confusion(y_true, trees.value, task, ax=axes[1])
fig.tight_layout()

# %% [markdown]
# *Figure 3. Pixel trees on counting. Left: each dot is an image, moved sideways a little where dots
# share a count; the dashed line is perfection. Right: the same predictions, rounded, as a confusion
# matrix, each row summing to one.*

# %%
sizes = {}
for count in (1, 3, 20):
    error = (trees.value - y_true)[y_true == count]
    bias, size = error.mean(), abs(error).mean()
    sizes[count] = {"bias": abs(bias), "error": size}
    print(f"true count {count:2}: bias {bias:+.1f}, mean absolute error {size:.1f}")

# %% [markdown]
# **What you should see.** More about twenty: 4.1<!--=20.error--> objects against 3.2<!--=3.error-->
# about three, and 0.6<!--=1.error--> about a single one, since many of those are called "two". And in
# opposite directions: three are answered 2.5<!--=3.bias--> too high on average, twenty
# 4.1<!--=20.bias--> too low. Both are pulled to the middle, and the largest answer of all is
# 18.0<!--=largest-->. A model that is unsure and wants a small error stays near the middle, because
# there it is never very far off. You will meet this *shrinkage* with every method.
#
# ## Play: what moves which metric?
#
# First as a plain figure, so that you see it without running anything.

# %%
_ = widgets.draw_predictor(y_true, task, bias=0, spread=2, hits=0.3)

# %% [markdown]
# *Figure 4. An imaginary model: three in ten exactly right, the rest with a Gaussian error whose
# standard deviation, the "spread", is two objects; no answer outside 1 to 20. Its accuracy is above
# 0.30, because a near miss is rounded to the true rank.*
#
# Now with sliders. Set the exact hits to 0 first. Which metrics does a constant **bias**
# leave nearly untouched? How large may the **spread** get before Spearman notices? Then:
# what do exact hits buy?

# %%
widgets.explore_predictor(y_true, task)

# %% [markdown]
# <details><summary>What we found</summary>
#
# At a spread of 2, a bias changes everything but Spearman and pairwise accuracy, which see only the
# order. (Even these two change a little: answers stop at 1 and 20, so there a bias makes ties.)
# Spearman is lenient with spread: at two objects it is still 0.95<!--=noisy.spearman-->, when only
# 22<!--=noisy.accuracy--> % of the answers are right. There, exact hits raise accuracy at once and
# Spearman hardly at all.
# </details>
#
# And a second explorer, to get to know the images: choose a task and move through its
# ranks. Ranks count from 0, so rank 6 of counting is seven objects.

# %%
_ = widgets.draw_rank(val["counting"], rank=6)

# %% [markdown]
# *Figure 5. Validation images of one rank: seven objects each, of any kind, size and
# layout.*

# %%
widgets.explore_datasets(val)

# %% [markdown]
# ## Five questions
#
# <details><summary>1. A model is exactly right for 60 % of the images and 10 off for the rest. Another
# is always one off. Which has the lower MAE, which the higher accuracy?</summary>
#
# The MAE is 4 against 1, accuracy 0.6 against 0. The second has the lower error, the first the
# higher accuracy.
# </details>
#
# <details><summary>2. Which of the six metrics do not change if every prediction is doubled?</summary>
#
# Spearman and pairwise accuracy: they see the order only.
# </details>
#
# <details><summary>3. What are <code>positions</code> of an <code>OrdinalTask</code> for?</summary>
#
# They say how far apart named ranks are, so that an error has a unit and the nearest rank is known.
# </details>
#
# <details><summary>4. The intervals of two models on the same images overlap. May one conclude that
# the models do not differ?</summary>
#
# No. An image that is hard for one is often hard for the other, and that shared luck is in both
# intervals. Look at the interval of the paired difference.
# </details>
#
# <details><summary>5. Why does a model that is unsure answer near the middle?</summary>
#
# The middle keeps the expected error small. The price is that small values are overestimated and
# large ones underestimated: shrinkage.
# </details>
#
# ## What to take away
#
# * Ordinal labels have an order **and** distances. State them once, in an `OrdinalTask`.
# * Accuracy says how often, MAE how far, Spearman and pairwise accuracy only whether the order is
#   right. Report at least one of each kind, with an interval, and compare two models by the
#   interval of their difference.
# * Look at a constant and at plain pixels first. Boosted trees on edges and colors are off by
#   2.75<!--=counting.trees.mae--> objects, 0.84<!--=dating.trees.mae--> decades,
#   16.7<!--=ageing.trees.mae--> years and 0.67<!--=quality.trees.mae--> points, without
#   understanding anything. A model that understands has to beat that.
#
# **To read.** McCullagh, *Regression models for ordinal data* (1980), where it began.
# Gutiérrez and others, *Ordinal regression methods: survey and experimental study* (2016).
#
# **Where next.** Notebook [01](01_vanilla_clip.ipynb) asks CLIP these four questions.

# %% [markdown]
# ## Appendix: is this machine ready?
#
# `ordlib.doctor()` checks everything that the course needs, and says how to correct what is wrong. Here
# we leave out network and paths, which differ from machine to machine; in a terminal, `ordlib doctor`
# shows the rest.

# %% tags=["nbval-check-output"]
import ordlib

ordlib.doctor(network=False, paths=False)

# %%
results = notebook.ResultsLog("00_start_here")
results.record("model A", library.loc["model A", ["mae", "accuracy"]])
results.record("model B", library.loc["model B", ["mae", "accuracy"]])
for (name, label), row in table.iterrows():
    results.record(f"{name}.{label}", row[["mae", "accuracy", "spearman"]].dropna())
for name, interval in gaps.items():
    results[f"gap.{name}"], results[f"gap.{name}.low"] = interval[:2]
results["gap.accuracy.low"], results["gap.accuracy.high"] = advantage[1:]
for count, numbers in sizes.items():
    results.record(str(count), numbers)
results["largest"] = trees.value.max()
noisy = widgets.simulate_predictions(y_true, task, bias=0, spread=2, hits=0)
noisy = metrics.compute_metrics(task, y_true, task.decode_values(noisy))
results.record("noisy", {name: noisy[name] for name in ("spearman", "accuracy")})
results.save()
