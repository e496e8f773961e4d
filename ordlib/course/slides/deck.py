"""Rules that select the slides of an executed notebook.

A cell has far more text than fits on a slide, so text is shortened to its first sentences: a title
slide, then for each section its beginning, its formulas and lists, each question before its result,
each figure, each small table, what one should see, the code of a method that is built from scratch,
and at the end what to take away. Exercises, folded answers and appendices are left out.
"""

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nbformat import NotebookNode
from PIL import Image

from ..runner.index_page import read_header
from .blocks import CHOICE, LAST_SECTION, QUESTION, Block, read_blocks
from .text import LINE, cells_of, is_small, pack, shorten, split_sentences

MAX_SENTENCES = 260  # characters of a paragraph that is shortened to one or two sentences
MAX_ITEM, MAX_ITEMS = 190, 5  # characters of a list item, items of a slide
MAX_TEXT = 760  # characters of a slide
MAX_PRINTED = 12  # lines
LONG_FORMULA = 110  # characters of LaTeX from which on a formula is split at \qquad
WIDE = 1.7  # aspect of a figure from which on its caption is below it

_SEEN = re.compile(r"\*\*What you should see\.\*\*\s*")
# Words for something that the text before a question names.
_REFERENCE = re.compile(r"\b(?:these|those|the\s(?:two|three|four|five))\b")
_LABEL = re.compile(r"(?P<kind>Figure|Table)s? [^.]*\.")


@dataclass(eq=False)  # two tables may be alike
class Slide:
    """A slide; ``kind`` is the CSS class of its layout."""

    kind: str  # title, text, question, answer, figure, table, code or summary
    heading: str
    body: str = ""  # Markdown: text, or the caption of a figure or table
    options: list[str] = field(default_factory=list)  # of a vote
    output: str = ""  # base64 of a PNG, table as HTML or Markdown, code, or printed text
    label: str = ""  # above a question or an answer

    @cached_property
    def aspect(self) -> float:
        """Width of a figure over its height."""
        width, height = Image.open(io.BytesIO(base64.b64decode(self.output))).size
        return width / height

    @property
    def is_tall(self) -> bool:
        """Whether the caption of a figure is beside it, not below it."""
        return self.kind == "figure" and self.aspect < WIDE


def make_slides(notebook: NotebookNode, results: Mapping[str, float]) -> list[Slide]:
    """Select the slides of an executed notebook, with the numbers of its results.

    Raises:
        ValueError: the notebook has no outputs.
    """
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise ValueError("has no outputs: run it first")
    header = read_header(notebook, results)
    title = " · ".join(filter(None, [header.get("number"), header.get("title")]))
    deck = Deck(title)
    find_out = shorten(header.get("findings", ""), MAX_SENTENCES)
    after = header.get("purpose", "")
    body = f"**What you will find out.** {find_out}\n\n**After this you can** {after}"
    deck.slides.append(Slide("title", title, body))
    blocks = list(read_blocks(notebook, results))
    for number, block in enumerate(blocks):
        deck.following = blocks[number + 1 :]
        getattr(deck, block.kind)(block.text)
    deck.end_section()
    return deck.slides


class Deck:
    """The slides made so far, and what is waiting for the next one."""

    def __init__(self, title: str) -> None:
        self.slides: list[Slide] = []
        self.section = title
        self.following: list[Block] = []
        self.text: list[str] = []  # of a section, not yet on a slide
        self.intro = ""  # the last sentence above a formula, list, table or question
        self.is_first = False  # whether the next paragraph is the first of a section
        self.is_asked = False  # whether a question waits for its answer
        self.prints = ""  # what the cells right below it printed
        self.is_result = False  # whether the next output is right below a question
        self.uncaptioned: list[Slide] = []

    def heading(self, text: str) -> None:
        """Begin a section or subsection."""
        if text.startswith("## "):
            self.end_section()
        self.end_text()
        self.section, self.is_first, self.intro = text.lstrip("# "), True, ""

    def paragraph(self, text: str) -> None:
        """Show the beginning of a section, of an answer, and of what one should see."""
        is_seen, text = bool(_SEEN.match(text)), _SEEN.sub("", text)
        if is_seen or (self.is_asked and not self._is_answered_below()):
            self._answer(shorten(text, MAX_SENTENCES))
        elif self.is_first and self.section != LAST_SECTION:
            self.text.append(shorten(text, MAX_SENTENCES))
        self.intro, self.is_first = split_sentences(text)[-1], False

    def formula(self, latex: str) -> None:
        """Show a formula below the sentence that introduces it."""
        parts = re.split(r",\s*\\qquad", latex) if len(latex) > LONG_FORMULA else [latex]
        self._add_introduced("\n\n".join(f"$${part.strip()}$$" for part in parts))

    def items(self, text: str) -> None:
        """Show the beginning of each item of a list."""
        items = re.split(r"\n(?=(?:[*-]|\d+\.) )", text)
        items = [re.sub(r"^(\S+) (?s:(.+))", _shorten_item, item) for item in items]
        self.intro = self.intro if self.intro.endswith(":") else ""
        for some in pack(items, MAX_ITEMS, MAX_TEXT):
            self._add_introduced("\n".join(some))

    def question(self, text: str) -> None:
        """Show a question on a slide of its own, before its result."""
        self._answer("")
        self.end_text()
        before, asked = QUESTION.split(text)
        body = before + asked[:1].upper() + asked[1:]
        if _REFERENCE.search(asked) and self.intro:
            body = f"{self.intro}\n\n{body}"
        self.slides.append(Slide("question", self.section, body, label="Think first"))
        self.is_asked = self.is_result = True
        self.is_first, self.intro = False, split_sentences(body)[-1]

    def options(self, line: str) -> None:
        """Add the options of the vote to a question."""
        question = self.slides[-1]
        if question.kind == "question":
            question.options = re.split(r"\s*○ ", line.removeprefix(CHOICE))[1:]
            question.label = "Vote"

    def figure(self, png: str) -> None:
        """Show a figure on a slide of its own."""
        self._add_output(Slide("figure", self.section, output=png))

    def table(self, html: str) -> None:
        """Show a table of the outputs, if it is small."""
        html = re.sub(r"<style.*?</style>|border=\"1\"", "", html, flags=re.S)
        # Columns are narrower if an interval is below its estimate.
        narrow = re.sub(r"(<td>\S+) (\(\S+) to (\S+\))", r"\1<br>\2&nbsp;to&nbsp;\3", html)
        small = [each for each in (html, narrow) if is_small(cells_of(each))]
        output = (small or [html])[0].replace("_", "_<wbr>")
        caption = self.intro if len(self.intro) <= 2 * LINE else ""
        self._add_output(Slide("table", self.section, caption, output=output), shown=bool(small))

    def markdown_table(self, text: str) -> None:
        """Show a table of the text, if it is small."""
        cells = [line.strip("| ").split("|") for line in text.splitlines()]
        del cells[1]  # the line of dashes
        caption = self.intro if self.intro.endswith(":") else ""
        slide = Slide("table", self.section, caption, output=text)
        self._add_output(slide, shown=is_small(cells))
        self.uncaptioned.remove(slide)

    def code(self, code: str) -> None:
        """Show code on a slide of its own, below the text that introduces it."""
        text, self.text = "\n\n".join(self.text), []
        self.slides.append(Slide("code", self.section, text, output=code))

    def printed(self, text: str) -> None:
        """Keep printed text for the answer to the question that was asked last."""
        if self.is_result:
            self.prints += re.sub(r"(?m)^dtype: .*\n?", "", text.rstrip("\n") + "\n")

    def begin_cell(self, _: str) -> None:
        """Begin a cell of text."""
        self.intro, self.is_result = "", False

    def caption(self, text: str) -> None:
        """Add the first sentences of a caption to the figures or tables above it."""
        for part in re.split(r"\s(?=(?:Figure|Table)s? \d+\. )", " ".join(text.split())):
            label = _LABEL.match(part)
            kind = label["kind"].lower() if label else ""
            fitting = [slide for slide in self.uncaptioned if kind in slide.kind]
            for slide in fitting if label and " and " in label[0] else fitting[-1:]:
                name = f"**{label[0]}** " if label else ""
                rest = part[label.end() :].strip() if label else part
                slide.body = name + shorten(rest, _caption_length(slide), sentences=6)
                self.uncaptioned.remove(slide)

    def end_cell(self, _: str) -> None:
        """End a cell of text: the next caption is of the outputs below it."""
        self.uncaptioned.clear()

    def end_text(self) -> None:
        """Put the text that is waiting on slides."""
        if self.text and self.text[-1].endswith(":"):  # it introduces something not shown
            self.text[-1] = " ".join(split_sentences(self.text[-1])[:-1])
        for some in pack(filter(None, self.text), len(self.text), MAX_TEXT):
            kind = "summary" if self.section == LAST_SECTION else "text"
            self.slides.append(Slide(kind, self.section, "\n\n".join(some)))
        self.text = []

    def end_section(self) -> None:
        """Show what was printed and not explained, and text that is waiting."""
        self._answer("")
        self.end_text()

    def _add_introduced(self, markdown: str) -> None:
        is_shown = any(self.intro in text for text in [*self.text, self.slides[-1].body])
        self.text.append("\n\n".join(filter(None, ["" if is_shown else self.intro, markdown])))
        self.intro, self.is_first = "", False

    def _add_output(self, slide: Slide, *, shown: bool = True) -> None:
        self.uncaptioned.append(slide)
        self.intro, self.is_first = "", False
        if shown:
            self.end_text()
            self.slides.append(slide)

    def _answer(self, text: str) -> None:
        """Show text, and below a question what its cells printed, as its answer."""
        lines = self.prints.splitlines()
        is_small = len(lines) <= MAX_PRINTED and max(map(len, lines), default=0) <= LINE
        prints = self.prints.rstrip() if is_small else ""
        if text or prints:
            self.end_text()
            label = "Answer" if self.is_asked else "What you should see"
            self.slides.append(Slide("answer", self.section, text, output=prints, label=label))
        self.is_asked, self.prints = False, ""

    def _is_answered_below(self) -> bool:
        """Whether "What you should see" comes before the next section or question.

        Where something was printed, the cell below it has to say so.
        """
        for block in self.following:
            if block.kind in ("heading", "question") or (self.prints and block.kind == "end_cell"):
                return False
            if block.kind == "paragraph" and _SEEN.match(block.text):
                return True
        return False


def _shorten_item(item: re.Match) -> str:
    return f"{item[1]} {shorten(item[2], MAX_ITEM)}"


def _caption_length(slide: Slide) -> int:
    """Number of characters that fit below a figure of full width, or above a table."""
    if slide.kind != "figure" or slide.is_tall:
        return 2 * LINE
    lines = (590 - 1216 / slide.aspect) // 34
    return LINE * int(min(max(lines, 2), 4))
