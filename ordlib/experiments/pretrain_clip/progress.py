"""The progress bar of a run: pairs per second, loss, and the share of time waiting for data."""

from tqdm.auto import tqdm

from .config import PretrainingConfig
from .trainer import PretrainingState


class ProgressBar:
    """A bar that counts pairs; its ``line`` is None before the first step that it is shown on."""

    def __init__(self, config: PretrainingConfig) -> None:
        self.config = config
        self.line: tqdm | None = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self.line is not None:
            self.line.close()

    def show(self, progress: PretrainingState) -> None:
        """Move the bar to where a run is."""
        batch, done = self.config.batch_size, progress.step * self.config.batch_size
        if self.line is None:
            looks = {"desc": "pretraining", "unit": "pair", "unit_scale": True}
            self.line = tqdm(total=self.config.steps * batch, initial=done - batch, **looks)
        loss = f"{progress.losses[-1][1]:.3f}" if progress.losses else "?"
        waiting = f"{progress.data_wait_seconds / progress.seconds:.0%}"
        self.line.set_postfix({"loss": loss, "waiting for data": waiting}, refresh=False)
        self.line.update(done - self.line.n)
