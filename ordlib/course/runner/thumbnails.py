"""The face of a notebook: the first picture that it shows."""

import base64
import io

from nbformat import NotebookNode
from PIL import Image

THUMBNAIL = (640, 360)  # pixels, at twice the size it is shown


def first_picture(notebook: NotebookNode) -> bytes | None:
    """Return the first PNG among the outputs of a notebook.

    Args:
        notebook: executed notebook.

    Returns:
        The file's content, or None if no cell shows a PNG.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output.data["image/png"])
    return None


def thumbnail(notebook: NotebookNode) -> str:
    """Shrink the first picture that a notebook shows to a data address.

    Args:
        notebook: executed notebook.

    Returns:
        ``data:image/png;base64,...``, or an empty text if no cell shows a PNG.
    """
    content = first_picture(notebook)
    if content is None:
        return ""
    picture = Image.open(io.BytesIO(content))
    picture.thumbnail(THUMBNAIL)
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()
