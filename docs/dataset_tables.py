"""Tables of the data sets, from their definitions in the library."""

from ordlib import list_published, load_task
from ordlib.data.published.load import DATASETS
from ordlib.tasks import OrdinalTask
from ordlib.tasks.builtin import SYNTHETIC

FOLDS = {0: "one split", -1: "one for each group"}


def rendered_tasks() -> str:
    """Return a table of the rendered tasks."""
    return _table(
        ["name", "ranks", "unit", "coarse bins (from)", "a prompt"],
        [_task_row(load_task(name)) for name in SYNTHETIC],
    )


def published_datasets() -> str:
    """Return a section for each published data set: files, protocols and tasks."""
    sections = []
    table = list_published()
    for name, dataset in DATASETS.items():
        rows = table[table["name"] == name].to_dict("records")
        tasks = dict.fromkeys(task for row in rows for task in row["tasks"].split(", "))
        sections.append(f"""### {dataset.title}

`load_published("{name}", root)`. {_sentence(dataset.source)}
Images: {_sentence(_code(dataset.images))}

{_table(["protocol", "splits", "folds", "labels", "lists", "description"],
        [_protocol_row(row) for row in rows])}
{_table(["task", "ranks", "unit", "coarse bins (from)", "a prompt"],
        [_task_row(load_task(task)) for task in tasks])}""")  # fmt: skip
    return "\n".join(sections)


def _protocol_row(row: dict) -> list[str]:
    folds = FOLDS.get(row["folds"], str(row["folds"]))
    lists = [_code(name) for name in row["lists"].split(", ") if name]
    labels = ", ".join(map(_code, row["labels"].split(", ")))
    return [
        _code(row["protocol"]), row["splits"], folds, labels, " ".join(lists) or "none",
        row["description"],
    ]  # fmt: skip


def _task_row(task: OrdinalTask) -> list[str]:
    bins = [f"{phrase} ({edge:g})" for phrase, edge in _bins(task)]
    ranks = f"{task.num_ranks}, {task.rank_label(0)} to {task.rank_label(-1)}"
    prompts = task.prompts()
    return [
        _code(task.name), ranks, task.unit, ", ".join(bins) or "one for each rank",
        prompts[len(prompts) // 2],
    ]  # fmt: skip


def _bins(task: OrdinalTask) -> list[tuple[str, float]]:
    phrases = task.bin_phrases or ()
    return list(zip(phrases, task.bin_edges, strict=True)) if task.num_bins < task.num_ranks else []


def _code(text: str) -> str:
    return f"`{text}`"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}".rstrip(".") + "."


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
