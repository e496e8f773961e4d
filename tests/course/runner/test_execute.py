"""Kernel channel that finds replies which arrive while a message is sent on the same socket."""

import asyncio
import time
from queue import Empty

import pytest
import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from ordlib.course.runner.execute import CurrentInterpreterKernel, PollingChannel, PollingClient


async def receive(kind: type[AsyncZMQSocketChannel], timeout: float) -> dict | None:
    """Send on a socket after a reply has arrived, but before asyncio notices it."""
    session, context = Session(), zmq.asyncio.Context()
    kernel = zmq.Context.shadow(context).socket(zmq.ROUTER)
    port = kernel.bind_to_random_port("tcp://127.0.0.1")
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{port}")
    try:
        channel = kind(socket, session)
        channel.send(session.msg("execute_request"))
        identities, _ = session.recv(kernel, mode=0)
        reply = asyncio.ensure_future(channel.get_msg(timeout=30))
        await asyncio.sleep(0.1)
        session.send(kernel, "execute_reply", ident=identities)
        time.sleep(0.2)  # blocks the event loop, as in a busy process
        channel.send(session.msg("comm_msg"))
        done, _ = await asyncio.wait([reply], timeout=timeout)
        reply.cancel()
        return done.pop().result() if done else None
    finally:
        kernel.close(linger=0)
        context.destroy(linger=0)


def test_polling_channel_receives_a_reply_that_asyncio_missed():
    assert asyncio.run(receive(PollingChannel, timeout=3))["msg_type"] == "execute_reply"
    assert isinstance(CurrentInterpreterKernel().client(), PollingClient)


def test_async_channel_of_jupyter_misses_the_reply():
    """If this fails, nbclient#312 is fixed upstream and PollingChannel can be removed."""
    assert asyncio.run(receive(AsyncZMQSocketChannel, timeout=2)) is None


def test_polling_channel_raises_empty_after_the_timeout():
    async def wait() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
            await PollingChannel(socket, Session()).get_msg(timeout=0.3)

    start = time.monotonic()
    with pytest.raises(Empty):
        asyncio.run(wait())
    assert 0.2 < time.monotonic() - start < 2
