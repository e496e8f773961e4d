"""A channel to a kernel that cannot miss a message.

While a cell with widgets runs, nbclient sends on the very socket on which the cell's reply is
awaited. A send takes in the news that something has arrived, and asyncio is never told: the
notebook waits for a reply that is already there, for as long as a cell may take. So ask anew.
"""

import time
from queue import Empty

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel

# Seconds after which a message that nobody was told of is found.
PATIENCE = 1.0


class AskingChannel(AsyncZMQSocketChannel):
    """Looks for messages every second instead of waiting to be told."""

    async def get_msg(self, timeout: float | None = None) -> dict:
        """Return the next message.

        Args:
            timeout: seconds to wait for it; None waits forever.

        Raises:
            Empty: none came in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = PATIENCE if end is None else min(PATIENCE, end - time.monotonic())
            try:
                return await super().get_msg(max(left, 0))
            except Empty:
                if end is not None and time.monotonic() >= end:
                    raise


class AskingClient(AsyncKernelClient):
    """A kernel's client whose replies come by an :class:`AskingChannel`."""

    shell_channel_class = AskingChannel
