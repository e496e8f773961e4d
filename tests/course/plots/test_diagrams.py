"""Diagrams: every box is named by an arrow or begins one, and its text stays inside."""

import pytest
from figures import legend, texts

from ordlib.course.plots import method_diagram
from ordlib.course.plots.diagrams import DIAGRAMS


@pytest.mark.parametrize("method", DIAGRAMS)
def test_method_diagram_draws_all_boxes_and_arrows(method):
    boxes = DIAGRAMS[method]
    ax = method_diagram(method)
    ax.figure.canvas.draw()
    assert [text for text in texts(ax) if text] == [box.text for box in boxes.values()]
    assert sum(not text for text in texts(ax)) == sum(len(box.to) for box in boxes.values())
    assert set(legend(ax)) == {box.kind for box in boxes.values()} - {"input"}
    inside = [text for text in ax.texts if text.get_text()]
    for text, patch in zip(inside, ax.patches, strict=True):
        a, b = text.get_window_extent(), patch.get_window_extent()
        assert a.width < b.width
        assert a.height < b.height
    for patch in ax.patches:
        assert ax.bbox.contains(*patch.get_window_extent().min)
        assert ax.bbox.contains(*patch.get_window_extent().max)


@pytest.mark.parametrize("method", DIAGRAMS)
def test_boxes_do_not_overlap(method):
    patches = method_diagram(method).patches
    for i, one in enumerate(patches):
        assert not any(one.get_bbox().overlaps(other.get_bbox()) for other in patches[i + 1 :])


def test_method_diagram_refuses_unknown_methods():
    with pytest.raises(ValueError, match="method = 'CORN': must be one of CLIP, NumCLIP"):
        method_diagram("CORN")
