"""A reply that arrives while something is sent on the same socket is found all the same."""

import asyncio
import time
from queue import Empty

import pytest
import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from ordlib.course.runner.execute import AskingClient, CurrentInterpreterKernel, PollingChannel


async def swallowed(kind: type[AsyncZMQSocketChannel], patience: float) -> dict | None:
    """Let a reply arrive, then send before asyncio has looked: what a widget's cell does."""
    session, context = Session(), zmq.asyncio.Context()
    kernel = zmq.Context.shadow(context).socket(zmq.ROUTER)
    port = kernel.bind_to_random_port("tcp://127.0.0.1")
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{port}")
    try:
        channel = kind(socket, session)
        channel.send(session.msg("execute_request"))
        identities, _ = session.recv(kernel, mode=0)
        waiting = asyncio.ensure_future(channel.get_msg(timeout=30))
        await asyncio.sleep(0.1)
        session.send(kernel, "execute_reply", ident=identities)
        # asyncio has no turn here, as in a busy process: the send is first to look.
        time.sleep(0.2)
        channel.send(session.msg("comm_msg"))
        done, _ = await asyncio.wait([waiting], timeout=patience)
        waiting.cancel()
        return done.pop().result() if done else None
    finally:
        kernel.close(linger=0)
        context.destroy(linger=0)


def test_a_reply_that_nobody_was_told_of_is_found():
    found = asyncio.run(swallowed(PollingChannel, patience=3))
    assert found["msg_type"] == "execute_reply"
    assert isinstance(
        CurrentInterpreterKernel().client(), AskingClient
    )  # notebooks are run with it


def test_the_plain_channel_waits_in_vain():
    """If this fails, the mistake was mended upstream, and the channel can go."""
    assert asyncio.run(swallowed(AsyncZMQSocketChannel, patience=2)) is None


def test_nothing_in_time_is_empty():
    async def wait() -> float:
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.DEALER)
        began = time.monotonic()
        with pytest.raises(Empty):
            await PollingChannel(socket, Session()).get_msg(timeout=0.3)
        context.destroy(linger=0)
        return time.monotonic() - began

    assert 0.2 < asyncio.run(wait()) < 2
