"""``python -m ordlib`` and ``accelerate launch -m ordlib``: the command ``ordlib``."""

from .cli import app

if __name__ == "__main__":
    app()
