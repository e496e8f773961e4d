"""Entry point of ``python -m ordlib`` and ``accelerate launch -m ordlib``."""

from .cli import main

if __name__ == "__main__":
    main()
