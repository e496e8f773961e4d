"""Where torch computes."""

import torch


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the best there is.

    Args:
        device: "cuda", "cuda:1", "mps", "cpu"; "auto" or None takes CUDA, else Apple's MPS, else
            the CPU.

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
    counts = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if device in (None, "auto"):
        return torch.device(next(kind for kind, count in counts.items() if count))
    try:
        asked = torch.device(device)
        count = counts[asked.type]
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f"there is no device {str(device)!r}; there are 'auto', 'cuda', 'mps' and 'cpu'"
        ) from error
    if (asked.index or 0) >= count:
        raise ValueError(
            f"device {str(asked)!r} was asked for, but torch {torch.__version__} sees {count} "
            f"{asked.type.upper()} devices here. Leave the device out to take what there is; on "
            "Colab, choose Runtime > Change runtime type > T4 GPU"
        )
    return asked
