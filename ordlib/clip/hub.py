"""Checkpoints on the Hugging Face hub: fetched once, then read from the hub's own cache.

A cached copy is used without asking the hub again, so that a class behind one address stays
under the limit on anonymous requests.
"""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# OpenAI's main branch holds a pickle only. This commit is the hub's own conversion of it to
# safetensors, and a commit never changes.
REVISIONS = {"openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef"}

WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"]
SETTINGS = [
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt"),
]


def cached(name: str, revision: str | None = None) -> Path | None:
    """Return the folder of a repository in the hub's local cache, without asking the hub.

    Args:
        name: hub id, "owner/name".
        revision: branch, tag or commit; None takes the commit that ordlib pins, else "main".

    Returns:
        The folder, perhaps with files missing, or None.

    Example:
        >>> cached("nobody/nothing") is None
        True
    """
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        return None


def fetch(name: str, files: list[str], revision: str | None = None) -> Path:
    """Download some files of a hub repository.

    Args:
        name: hub id, "owner/name".
        files: names or patterns; those that the repository lacks are left out.
        revision: branch, tag or commit; None takes the commit that ordlib pins, else "main".

    Returns:
        The folder in the hub's local cache.

    Raises:
        FileNotFoundError: no such repository, or the hub is out of reach; says what to do.
        OSError: the disk is full, or the cache cannot be written.
    """
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    # The hub's client lets errors of its HTTP library through, whichever that is today.
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        # The message holds the cause; a hundred lines of HTTP library would bury it.
        raise FileNotFoundError(explain(name, revision, error)) from None


def explain(name: str, revision: str | None, error: Exception) -> str:
    """Say why the hub did not give a checkpoint, and the way out.

    Args:
        name, revision: what was asked for.
        error: what the hub's client raised.

    Returns:
        A message that tells a wrong name (404) from too many requests (429) and no network.

    Example:
        >>> explain("openai/clip", None, ConnectionError("no route to host"))
        'openai/clip (revision main) is not, or not whole, in the local hub cache, ...'
    """
    where = f"{name} (revision {revision or 'main'})"
    causes = _causes(error)
    statuses = {getattr(getattr(cause, "response", None), "status_code", 0) for cause in causes}
    if isinstance(error, HFValidationError):
        return f"{name!r} is neither a folder nor a hub id ('owner/name')"
    if isinstance(error, GatedRepoError):
        return (
            f"the hub gives {where} only to those who accepted its terms: accept them at "
            f"https://huggingface.co/{name} and run `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has {name}, but no revision {revision!r} of it (404)"
    if isinstance(error, RepositoryNotFoundError) or 404 in statuses:
        return f"the hub has no {where}, or it is private (404): check the spelling"
    if 429 in statuses:
        return (
            f"the hub has had too many requests from this address (429) and held {where} back. "
            "Everyone behind the address shares the limit, on Colab too: wait five minutes, or "
            f"log in with `hf auth login`. {_by_hand(name, revision)}"
        )
    return (
        f"{where} is not, or not whole, in the local hub cache, and the hub is out of reach "
        f"({type(causes[-1]).__name__}). {_by_hand(name, revision)}"
    )


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return chain


def _by_hand(name: str, revision: str | None) -> str:
    folder = name.split("/")[-1]
    pin = f" --revision {revision}" if revision else ""
    return (
        f"Without network: on a machine that has it, run `hf download {name}{pin} --include "
        f'"*.json" --include "*.txt" --include "*.safetensors" --local-dir {folder}`, bring the '
        f"folder here, and load_clip('path/to/{folder}')"
    )
