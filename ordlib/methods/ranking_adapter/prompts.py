"""Ranking prompts of the images of a data set."""

from collections.abc import Mapping, Sequence

from ...data import ImageData
from ...tasks import OrdinalTask
from ...tasks.ranking_prompts import prompt_templates_for
from ...tasks.templates import check_template, fillable_templates, placeholder_names
from ...utils.reading import shorten


def merge_templates(
    custom: Mapping[str, Sequence[str]], tasks: Mapping[str, OrdinalTask]
) -> dict[str, tuple[str, ...]]:
    """Return the templates of each task by name: custom ones, or the default ones.

    Raises:
        ValueError: custom templates of another task, no list of templates, or a template that
            cannot be filled in.
    """
    for name, templates in custom.items():
        if name not in tasks or not isinstance(templates, list | tuple) or not templates:
            raise ValueError(
                f"prompt_templates[{name!r}] = {shorten(templates)}: must be a list of one or more "
                f"templates, for one of the tasks {', '.join(tasks)}"
            )
        for index, template in enumerate(templates):
            try:
                check_template(template)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"prompt_templates[{name!r}][{index}] = {shorten(template)}: {error}; write "
                    "placeholders as {name}"
                ) from error
    items = tasks.items()
    return {name: tuple(custom.get(name) or prompt_templates_for(t).train) for name, t in items}


def fill_template(data: ImageData, templates: Sequence[str]) -> list[str]:
    """Return a prompt per image, of the first template for which ``data.metadata`` has all columns.

    Raises:
        ValueError: there is no such template.
    """
    columns = data.metadata.columns
    if not (usable := fillable_templates(templates, columns)):
        missing = sorted(placeholder_names(templates[0]).difference(columns))
        raise ValueError(
            f"template = {templates[0]!r}: the metadata of {data.task.name} has no column "
            f"{missing[0]!r}; its columns are {', '.join(sorted(columns)) or 'none'}"
        )
    fields = sorted(placeholder_names(usable[0]))
    rows = data.metadata[fields].to_dict("records") if fields else [{}] * len(data)
    return [usable[0].format(**row) for row in rows]


def broadcast_prompts(prompts: str | Sequence[str], count: int) -> list[str]:
    """Return one prompt per image; raise ValueError if a list has a length other than count."""
    prompts = [prompts] * count if isinstance(prompts, str) else list(prompts)
    if (n := len(prompts)) != count:
        raise ValueError(f"{n} prompts for {count} images: pass one string or a list of {count}")
    return prompts
