"""The progress bar of a run: pairs per second, loss, and the share of time waiting for data."""

from tqdm.auto import tqdm

from .config import Plan
from .trainer import Progress


class ProgressBar:
    """A bar that counts pairs; its ``line`` is None before the first step that it is shown on."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.line: tqdm | None = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self.line is not None:
            self.line.close()

    def show(self, progress: Progress) -> None:
        """Move the bar to where a run is."""
        batch, done = self.plan.batch, progress.step * self.plan.batch
        if self.line is None:
            looks = {"desc": "pretraining", "unit": "pair", "unit_scale": True}
            self.line = tqdm(total=self.plan.steps * batch, initial=done - batch, **looks)
        loss = f"{progress.losses[-1][1]:.3f}" if progress.losses else "?"
        waiting = f"{progress.waited / progress.seconds:.0%}"
        self.line.set_postfix({"loss": loss, "waiting for data": waiting}, refresh=False)
        self.line.update(done - self.line.n)
