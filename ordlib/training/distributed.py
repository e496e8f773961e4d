"""Device, precision, and losses over the whole batch of several processes."""

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from ..clip import ClipBackbone
from ..methods.base import TrainableModule


def all_gather_with_grad(features: Tensor) -> Tensor:
    """Concatenate ``(n, ...)`` rows of all processes in process order; gradients flow back to all.

    A loss of the gathered rows is equal in all processes, and its gradients, averaged over the
    processes, are those of one large batch. In a single process the input is returned as is.

    Example:
        >>> all_gather_with_grad(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if not (dist.is_available() and dist.is_initialized()):
        return features
    return torch.cat(all_gather(features.contiguous()))


def is_main_process() -> bool:
    """Whether this is the first of several processes, or the only one.

    Example:
        >>> is_main_process()
        True
    """
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def wait_for_everyone() -> None:
    """Wait until all processes, if there are several, are here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


class LossModule(nn.Module):
    """Loss of the batch gathered from all processes, as a module for DistributedDataParallel."""

    def __init__(self, model: TrainableModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """Return the loss; arguments are those of this process."""
        features = self.model.encode(*inputs)
        return self.model.loss(all_gather_with_grad(features), all_gather_with_grad(targets))


def make_accelerator(clip: ClipBackbone) -> Accelerator:
    """Return an Accelerator for the device and the precision of a backbone."""
    device = clip.device
    # AcceleratorState is a singleton; reset it, because models may differ in device and precision.
    # device_placement=False keeps each model on its CLIP's device.
    AcceleratorState._reset_state(reset_partial_state=True)
    if device.type != "cuda":
        return Accelerator(device_placement=False, cpu=device.type == "cpu", mixed_precision="no")
    # Gradients through a frozen float16 backbone need loss scaling, which "fp16" enables; the tests
    # do not run it, since torch's loss scaler needs CUDA.
    bf16_supported = torch.cuda.is_bf16_supported(including_emulation=False)
    use_fp16 = clip.dtype == torch.float16 or not bf16_supported
    return Accelerator(device_placement=False, mixed_precision="fp16" if use_fp16 else "bf16")
