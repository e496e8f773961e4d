"""Where torch computes."""

import torch


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the best there is.

    Args:
        device: "cuda", "cuda:1", "mps", "cpu", or any other accelerator that torch knows; "auto"
            or None takes the accelerator of this machine, else the CPU.

    Returns:
        A device that torch can use here.

    Raises:
        ValueError: no such device, or torch sees none of its kind on this machine.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
        >>> pick_device("gpu")
        Traceback (most recent call last):
        ...
        ValueError: there is no device 'gpu'; there are 'auto', 'cuda', 'mps' and 'cpu'
    """
    counts = {"cpu": 1}
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        counts = {kind: torch.accelerator.device_count()} | counts
    if device in (None, "auto"):
        return torch.device(next(iter(counts)))
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"there is no device {str(device)!r}; there are 'auto', 'cuda', 'mps' and 'cpu'"
        ) from error
    count = counts.get(asked.type, 0)
    if (asked.index or 0) >= count:
        raise ValueError(
            f"device {str(asked)!r} was asked for, but torch {torch.__version__} sees {count} "
            f"{asked.type.upper()} devices here. Leave the device out to take what there is; on "
            "Colab, choose Runtime > Change runtime type > T4 GPU"
        )
    return asked
