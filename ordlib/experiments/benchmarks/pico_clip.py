"""pico-clip: seconds for 1,000 pictures and for the 4,560 unnamed counting prompts."""

import pandas as pd

from ordlib.clip import load_clip
from ordlib.methods.zero_shot import ZeroShot
from ordlib.synthetic.load import load_data

from .timing import race


def measure(pictures: int = 1000, repeats: int = 3) -> pd.DataFrame:
    """One row a job."""
    clip, data = load_clip("pico-clip"), load_data("counting", "train", size=pictures)
    seconds = race(
        {
            f"{pictures} pictures": lambda: clip.encode_images(data),
            "4560 prompts": lambda: ZeroShot(clip, data.task, templates=(0, 1, 2)).text_features(),
        },
        repeats,
    )
    return pd.DataFrame({"job": list(seconds), "seconds": [round(s, 2) for s in seconds.values()]})
