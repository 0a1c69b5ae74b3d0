"""What remote stepping is compared with: an environment that costs nothing, and other ways to reach it in another process.

bare      shared memory for the observation, a pipe for the signal each way: the floor on one host, without any result
pickled   the same, and reward, flags and info through a Connection of multiprocessing, as AsyncVectorEnv has it
stream    bytes over one gRPC stream each way, without protobuf and without anything in them: the floor of the network path
protobuf  a unary gRPC call whose messages are encoded by protobuf, arrays as `bytes`: what a service is usually made of
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from queue import SimpleQueue
from typing import Any

import gymnasium
import numpy as np

ID = "RemoteBench-v0"
ACTION = 7  # numbers
_INFO = {"is_success": False, "is_intervention": False, "safety_clipped": False, "time": 0.1}


class Instant(gymnasium.Env[Any, Any]):
    """Its observation is there already; nothing ends."""

    action_space = gymnasium.spaces.Box(-1, 1, (ACTION,), np.float32)

    def __init__(self, size: int) -> None:
        self.observation_space = gymnasium.spaces.Dict({"pixels": gymnasium.spaces.Box(0, 255, (size,), np.uint8)})
        self._obs = {"pixels": np.arange(size, dtype=np.uint8)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium.Env."""
        return self._obs, dict(_INFO)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium.Env."""
        return self._obs, 0.5, False, False, dict(_INFO)


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point=Instant)


@contextmanager
def bare(size: int) -> Iterator[Any]:
    """Yields a function that takes a step and returns a copy of the observation."""
    memory = SharedMemory(create=True, size=size)
    (there, order), (answer, back) = os.pipe(), os.pipe()
    process = get_context("spawn").Process(target=_bare_child, args=(memory.name, size, os.getpid(), there, back), daemon=True)
    process.start()
    os.read(answer, 1)
    action, views = np.zeros(ACTION, np.float32), [np.ndarray((size,), np.uint8, memory.buf)]

    def step() -> np.ndarray:
        os.write(order, action.tobytes())
        os.read(answer, 16)
        return views[0].copy()

    yield step
    os.close(order)
    process.join(10)
    views.clear()  # memory that is looked at cannot be closed
    memory.close()
    memory.unlink()


def _bare_child(name: str, size: int, parent: int, there: int, back: int) -> None:
    there, back = (os.open(f"/proc/{parent}/fd/{fd}", flag) for fd, flag in ((there, os.O_RDONLY), (back, os.O_WRONLY)))
    memory = SharedMemory(name=name, track=False) if sys.version_info >= (3, 13) else SharedMemory(name=name)
    view, env = np.ndarray((size,), np.uint8, memory.buf), Instant(size)
    os.write(back, b"!")
    while data := os.read(there, 4 * ACTION):
        obs, reward, _, _, _ = env.step(np.frombuffer(data, np.float32))
        np.copyto(view, obs["pixels"])
        os.write(back, np.float64(reward).tobytes())


@contextmanager
def pickled(size: int) -> Iterator[Any]:
    """As `bare`."""
    memory = SharedMemory(create=True, size=size)
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_pickled_child, args=(memory.name, size, there), daemon=True)
    process.start()
    here.recv()
    action, views = np.zeros(ACTION, np.float32), [np.ndarray((size,), np.uint8, memory.buf)]

    def step() -> Any:
        here.send(action)
        rest = here.recv()
        return views[0].copy(), *rest

    yield step
    here.send(None)
    process.join(10)
    views.clear()
    memory.close()
    memory.unlink()


def _pickled_child(name: str, size: int, pipe: Any) -> None:
    memory = SharedMemory(name=name, track=False) if sys.version_info >= (3, 13) else SharedMemory(name=name)
    view, env = np.ndarray((size,), np.uint8, memory.buf), Instant(size)
    pipe.send("ready")
    while (action := pipe.recv()) is not None:
        obs, *rest = env.step(action)
        np.copyto(view, obs["pixels"])
        pipe.send(rest)


@contextmanager
def stream(size: int) -> Iterator[Any]:
    """As `bare`."""
    import grpc

    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_stream_child, args=(there, size), daemon=True)
    process.start()
    orders: SimpleQueue[bytes | None] = SimpleQueue()
    channel = grpc.insecure_channel(f"127.0.0.1:{here.recv()}", options=[("grpc.max_receive_message_length", -1)])
    answers = channel.stream_stream("/peer/Steps")(iter(orders.get, None))
    action = np.zeros(ACTION, np.float32)

    def step() -> np.ndarray:
        orders.put(action.tobytes())
        return np.frombuffer(next(answers), np.uint8).copy()

    yield step
    orders.put(None)
    channel.close()
    here.close()
    process.join(10)


def _stream_child(pipe: Any, size: int) -> None:
    env = Instant(size)

    def steps(orders: Iterator[bytes], _: Any) -> Iterator[bytes]:
        for order in orders:
            yield env.step(np.frombuffer(order, np.float32))[0]["pixels"].tobytes()

    import grpc

    _serve(pipe, "Steps", grpc.stream_stream_rpc_method_handler(steps))


def messages() -> tuple[Any, Any]:
    """Classes of a request and a reply, without a compiler."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="remote_peers.proto", package="remote_peers", syntax="proto3")
    kinds = {"double": 1, "bool": 8, "bytes": 12}
    fields = {
        "Request": [("action", "bytes")],
        "Reply": [("pixels", "bytes"), ("reward", "double"), ("terminated", "bool"), ("truncated", "bool"), ("time", "double")],
    }
    for name, parts in fields.items():
        made = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(parts, 1):
            made.field.add(name=field, number=number, type=kinds[kind], label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return tuple(message_factory.GetMessageClass(pool.FindMessageTypeByName(f"remote_peers.{name}")) for name in fields)


@contextmanager
def protobuf(size: int) -> Iterator[Any]:
    """As `bare`."""
    import grpc

    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_protobuf_child, args=(there, size), daemon=True)
    process.start()
    request, reply = messages()
    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{here.recv()}", options=options)
    call = channel.unary_unary("/peer/Step", request.SerializeToString, reply.FromString)
    action = np.zeros(ACTION, np.float32)

    def step() -> np.ndarray:
        return np.frombuffer(call(request(action=action.tobytes())).pixels, np.uint8).copy()

    yield step
    channel.close()
    here.close()
    process.join(10)


def _protobuf_child(pipe: Any, size: int) -> None:
    import grpc

    request, reply = messages()
    env = Instant(size)

    def step(asked: Any, _: Any) -> Any:
        obs, reward, terminated, truncated, info = env.step(np.frombuffer(asked.action, np.float32))
        return reply(
            pixels=obs["pixels"].tobytes(), reward=reward, terminated=terminated, truncated=truncated, time=info["time"]
        )

    _serve(pipe, "Step", grpc.unary_unary_rpc_method_handler(step, request.FromString, reply.SerializeToString))


def _serve(pipe: Any, method: str, handler: Any) -> None:
    """Say the port, and serve until the other end of the pipe is closed."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer", {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pipe.send(port)
    try:
        pipe.recv()
    except EOFError:
        server.stop(None).wait(5)
