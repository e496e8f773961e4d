"""Errors of the Hugging Face hub: what failed, and the way out."""

from huggingface_hub.errors import (
    GatedRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def hub_error(
    name: str,
    revision: str | None,
    error: Exception,
    remedy: str,
    problem: str = "is missing or incomplete in the local hub cache",
) -> str:
    """Cause of a failed request and its remedy: wrong name, no permission, rate limit, no network.

    Args:
        name: "owner/name" of the repository.
        revision: branch, tag or commit; None is "main".
        error: what the hub's client raised; the statuses of its causes count, too.
        remedy: what to do without the hub.
        problem: what is the matter if it is out of reach.
    """
    source = f"{name} (revision {revision or 'main'})"
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    statuses = {getattr(getattr(cause, "response", None), "status_code", 0) for cause in causes}
    if isinstance(error, GatedRepoError):
        url = f"https://huggingface.co/{name}"
        return f"{source} is gated: accept its terms at {url} and run `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has {name}, but no revision {revision or 'main'!r} of it (404)"
    if 401 in statuses:
        return (
            f"the hub does not let you into {source} (401): check the spelling; if it is private "
            "or yours, log in with `hf auth login`, or set HF_TOKEN to a valid token"
        )
    if 403 in statuses:
        return (
            f"the hub refused {source} (403): your token lacks the permission; make one with it at "
            "https://huggingface.co/settings/tokens and run `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError) or 404 in statuses:
        return f"the hub has no {source}, or it is private (404): check the spelling"
    if 429 in statuses:
        return (
            f"the hub refused {source}: too many requests from this IP address (429), which other "
            "users may share, as on Colab. Wait five minutes, or log in with `hf auth login`. "
        ) + remedy
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        reason = "HF_HUB_OFFLINE is set: unset it to use the network"
    else:
        reason = f"the hub is unreachable ({type(causes[-1]).__name__})"
    return f"{source} {problem}, and {reason}. {remedy}"
