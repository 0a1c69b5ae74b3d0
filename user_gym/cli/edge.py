"""`user-gym edge`: a robot's machine joins a fleet: it dials its hub, acts with the weights from there, and collects."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from user_gym.cli import serving
from user_gym.cli.hub import traffic

if TYPE_CHECKING:
    from user_gym.system.link.edge import Edge, Spool
    from user_gym.system.link.edge.collecting import Robot
    from user_gym.system.link.edge.plan import EdgePlan

_HUB = 30.0  # s between two words that the hub has not let the edge in for the first time
_WELL = ("collects", "done", "stopped")  # states of a robot that need no word
_FLUSH = 10.0  # s for what is not acknowledged, at the end; the rest stays in the spool
_GLANCE = 0.1  # s
_PERIOD = 30.0  # s between two lines that say how it is
_OF_THE_ROBOT = ("env", "robot", "device", "task", "steps", "random_steps", "seed")  # options of the only robot
_OF_SERVING = ("serve", "watchdog")
_NEEDED = {"env": "an id, as in gymnasium.make, or --serve ID", "policy": "module:Class, called with the env's two spaces"}
_OF_THE_EDGE = (
    "hub", "bundle", "name", "policy", "spool", "spool_bytes", "columns", "picture", "jpeg", "zstd", "rate", "raw_rate",
    "record", "raw", "raw_bytes", "insecure",
)  # fmt: skip


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "edge",
        help="let robots of this machine collect for a learner elsewhere",
        description="Dial a hub, hold one connection to it through whatever the network does, act with the newest weights from "
        "there, and hand over what is collected. While the hub is away robots go on and the data waits in the spool. "
        "The policy is code of this machine; only its weights come over the network. Repeated, the command goes on. "
        "A file says what the options say, and more: docs/link.md.",
        epilog="Exit codes: 0 all steps are taken, or the hub has enough; 1 a person stopped it; 2 an error; 130 Ctrl-C.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="robots, policy and all else; options go before it")
    parser.add_argument("--hub", metavar="HOST:PORT", help="where it listens (default: as the bundle says)")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="who this edge is, from `user-gym hub enroll`")
    parser.add_argument("--name", metavar="NAME", help="of this edge, where there is no bundle: only on loopback")
    parser.add_argument("--policy", metavar="MODULE:CLASS", help="called with the env's two spaces; or an entry point")
    parser.add_argument("--env", metavar="ID", help="as in gymnasium.make, such as User/PegInsert-real-v0")
    parser.add_argument("--robot", metavar="NAME", help="as in gymnasium.make(robot=...)")
    parser.add_argument("--device", metavar="ID", help="of the robot in this machine's inventory (default: the env chooses)")
    parser.add_argument("--task", metavar="NAME", help="written into its experience, as PegInsert")
    parser.add_argument("--spool", type=Path, metavar="DIR", help="what waits (default: spool)")
    parser.add_argument("--spool-bytes", type=int, metavar="N", help="at most; then the robot waits (8 GiB)")
    parser.add_argument("--columns", type=_names, metavar="A,B", help="what the policy sees, and what travels (default: all)")
    parser.add_argument("--picture", metavar="HxW", help="of all pictures, for both (default: as the env gives them)")
    parser.add_argument("--jpeg", type=int, metavar="Q", help="quality of all pictures that travel (default: lossless)")
    parser.add_argument("--zstd", action="store_true", default=None, help="let Zstandard press them where it gains more")
    parser.add_argument("--rate", type=float, metavar="BYTES", help="bytes per second sent, at most")
    parser.add_argument("--raw", type=Path, metavar="DIR", help="what devices say at full rate and size (default: SPOOL-raw)")
    parser.add_argument("--raw-bytes", type=int, metavar="N", help="at most; then the oldest episodes leave (64 GiB)")
    parser.add_argument("--raw-rate", type=float, metavar="BYTES", help="bytes per second of fetched episodes, at most")
    parser.add_argument("--no-raw", dest="record", action="store_false", default=None, help="record nothing but what travels")
    parser.add_argument("--dry-run", action="store_true", help="say what a step would cost on its way, and end")
    parser.add_argument("--steps", type=int, metavar="N", help="to take (default: until the hub has enough)")
    parser.add_argument("--random-steps", type=int, metavar="N", help="the first steps take uniform actions")
    parser.add_argument("--seed", type=int, metavar="N", help="of environment and policy (default: made of the names)")
    parser.add_argument(
        "--insecure", action="store_true", default=None, help="plain text off loopback: anybody on the way reads and changes it"
    )
    serving.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Collect until the end."""
    words = _words(arguments)
    if "serve" in words:
        return serving.run(_serving(arguments, words))
    from user_gym.robots import inventory
    from user_gym.system.link.edge import Edge, Spool
    from user_gym.system.link.edge.collecting import Robot, policy_of
    from user_gym.system.link.edge.hand import RemoteHand
    from user_gym.system.link.edge.plan import from_words
    from user_gym.system.link.identity import names
    from user_gym.system.link.identity.bundle import Bundle
    from user_gym.system.link.machine import EdgeRobot
    from user_gym.system.link.raw import Archive
    from user_gym.system.processes.body import build, form
    from user_gym.system.processes.parent import heard
    from user_gym.system.weights import Receiver
    from user_gym.wrappers import Intervention

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    plan = from_words(words)
    make = policy_of(plan.policy)
    bundle = None if plan.bundle is None else Bundle.load(plan.bundle)
    stop, interrupted = Event(), Event()
    by: list[str] = []

    def stopped(who: str) -> None:
        by.append(who)
        stop.set()
        tell_drivers()

    with ExitStack() as opened:
        robots, said, policies, envs = list[Robot](), dict[str, EdgeRobot](), list[Any](), list[Any]()
        hands = list[RemoteHand]()
        for one in plan.robots:
            env = plan.training.wrap(opened.enter_context(closing(build(one.collector("edge")))))
            if hasattr(type(env.unwrapped), "state"):  # what a person far away is shown
                source = names.source(str(plan.name if bundle is None else bundle.name), one.name)
                hands.append(hand := RemoteHand(source, _actions(env), plan.take_over))
                env = Intervention(env, hand)
            envs.append(env)
            policies.append(policy := make(env.observation_space, env.action_space, **plan.policy_options))
            said[one.name] = EdgeRobot(one.env, one.robot, one.task, form(env))
            robots.append(Robot(
                one.name, env, policy, env_id=one.env, model=one.robot, task=one.task, period=one.period, clock=one.clock,
                seed=one.seed, random_steps=one.random_steps, steps=one.steps,
            ))  # fmt: skip
        if arguments.dry_run:
            return _said(plan, envs)
        receiver = Receiver(_same(plan.robots, policies), finite=True)
        spool = opened.enter_context(Spool.open(plan.spool, most_bytes=plan.spool_bytes))
        _check_owner(plan.spool, spool, str(plan.name if bundle is None else bundle.name))
        archive = opened.enter_context(Archive.open(plan.archive, most_bytes=plan.raw_bytes)) if plan.record else None
        edge = opened.enter_context(Edge(
            plan.hub, spool, bundle=bundle, name=plan.name, robots=said, inventory=inventory.read(), receiver=receiver,
            hands=hands, stop=stopped, rate=plan.rate, raw_rate=plan.raw_rate, lossy=_pictures(plan, envs), zstd=plan.zstd,
            archive=archive, insecure=plan.insecure,
            facts=lambda: {"robots": {robot.name: robot.facts for robot in robots}},
        ))  # fmt: skip
        _admitted(edge)
        news = ", ".join(f"episode {edge.next_episode(robot.name)} of {robot.name} is next" for robot in robots)
        print(f"{edge.name} is in; {news}", flush=True)
        with heard(interrupted):
            _collect(edge, robots, envs, receiver, stop, interrupted)
        all_there = edge.flush(0.0 if interrupted.is_set() else _FLUSH)
        taken = sum(robot.taken for robot in robots)
        print(f"{taken} steps; {'the hub has them all' if all_there else f'{len(spool)} blocks wait in {plan.spool}'}")
        print(_line(edge))
    if by:
        print(f"stopped by {by[0]}")
        return 1
    return 130 if interrupted.is_set() else 0


def _actions(env: Any) -> int:
    """Numbers in an action. Raises BadOption where it is no vector."""
    from user_gym.errors import BadOption

    if len(env.action_space.shape or ()) != 1:
        raise BadOption("action space", env.action_space, "a Box of one axis")
    return env.action_space.shape[0]


def _admitted(edge: Edge) -> None:
    """Wait until the hub has let the edge in: a robot's machine may be started long before."""
    from user_gym.errors import PeerLost

    while True:
        try:
            return edge.wait(_HUB)
        except PeerLost as error:
            print(f"{error}; it dials on", flush=True)


def _collect(edge: Edge, robots: Sequence[Robot], envs: Sequence[Any], receiver: Any, stop: Event, interrupted: Event) -> None:
    """A thread for each robot, until all have ended. Raises what ended the first that failed; the others do not notice."""
    failures: list[Exception] = []

    def work(robot: Robot, env: Any) -> None:
        try:
            with closing(env):  # in the thread that used it: the robot is held when it ends
                robot.collect(edge, receiver, stop)
        except Exception as error:  # top of this thread: raised below
            logging.getLogger(__name__).error("%s ends: %s", robot.name, error)
            failures.append(error)

    threads = [Thread(target=work, args=pair, name=pair[0].name) for pair in zip(robots, envs, strict=True)]
    for thread in threads:
        thread.start()
    shown = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            if interrupted.is_set():
                stop.set()
            thread.join(_GLANCE)
            if time.monotonic() - shown > _PERIOD:
                shown = time.monotonic()
                print(_line(edge), flush=True)
    if failures:
        raise failures[0]


def _line(edge: Edge) -> str:
    """How it is, in few words."""
    told = edge.told()
    robots = (f"{name} {facts['state']}" for name, facts in told["robots"].items() if facts["state"] not in _WELL)
    parts = (
        edge.state.value, *robots, f"{told['unacknowledged']} steps wait for the hub",
        f"{traffic.step(told) or 'nothing'} a step", f"recorded: {traffic.raw(told)}" if told["raw"] else "",
    )  # fmt: skip
    return f"{edge.name}: {', '.join(part for part in parts if part)}"


def _words(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options say, and the file where they say nothing."""
    from user_gym.errors import BadOption
    from user_gym.system.link.edge.plan import read

    given = {name: value for name, value in vars(arguments).items() if value is not None}
    words = {} if arguments.config is None else read(arguments.config)
    words |= {name: given[name] for name in _OF_THE_EDGE if name in given}
    words |= {name: given[name] for name in _OF_SERVING if given.get(name, []) != []}
    if "serve" in words:
        useless = [f"--{name.replace('_', '-')}" for name in _OF_THE_ROBOT if name in given and name != "robot"]
        if useless:
            raise BadOption("options of a robot that collects", ", ".join(useless), "none with --serve: clients decide that")
        return words
    robot = {name: given[name] for name in _OF_THE_ROBOT if name in given}
    if robot and words.get("robots"):
        raise BadOption("options of a robot", ", ".join(robot), f"none: the robots are in {arguments.config}")
    if arguments.config is None:
        for name, allowed in _NEEDED.items():
            if name not in given:
                raise BadOption(f"--{name}", None, allowed, "or write all options into a file for --config; docs/link.md")
    return {**words, "robots": [robot]} if robot else words


def _serving(arguments: argparse.Namespace, words: dict[str, Any]) -> argparse.Namespace:
    """The options of an edge that serves, which the file may say as well. Raises BadOption, UnknownName."""
    from user_gym.system.link.edge.plan import serving as read_serving

    plan = read_serving(words)
    options = [f"{name}={json.dumps(value)}" for name, value in plan.serve_options.items()]
    said = {"hub": plan.hub, "bundle": plan.bundle, "name": plan.name, "insecure": plan.insecure, "watchdog": plan.watchdog}
    merged = {**vars(arguments), **said, "serve": list(plan.serve), "serve_option": [*options, *arguments.serve_option]}
    return argparse.Namespace(**merged)


def _check_owner(path: Path, spool: Spool, name: str) -> None:
    """A hub takes of an edge only what is its own. Raises BadOption where another edge's blocks wait in this spool."""
    from user_gym.errors import BadOption
    from user_gym.system.link.identity import names

    first = spool.after(-1)
    if first is not None and names.owner(first[0].key.source) != name:
        allowed = f"a folder of {name!r}; what waits in this one is of {names.owner(first[0].key.source)!r}"
        raise BadOption("--spool", str(path), allowed, "choose another folder, or let that edge hand it over first")


def _same(robots: Sequence[Any], policies: Sequence[Any]) -> str:
    """The spec hash of all policies. Raises BadOption where they are not alike."""
    from user_gym.errors import BadOption

    hashes = {robot.name: policy.spec_hash for robot, policy in zip(robots, policies, strict=True)}
    if len(set(hashes.values())) > 1:
        allowed = "robots whose policies take the same weights"
        raise BadOption("robots", hashes, allowed, "start one edge for each kind, with a bundle of its own")
    return policies[0].spec_hash


def tell_drivers() -> None:
    """The arms hold, without the env that drives them. Raises PeerLost where one did not hear it."""
    from user_gym.errors import PeerLost
    from user_gym.robots import stop

    told = stop.tell(stop.STOP, "")
    if told.failed:
        raise PeerLost(f"drivers that did not hear it: {', '.join(told.failed)}")


def _pictures(plan: EdgePlan, envs: Sequence[Any]) -> Mapping[str, int]:
    """Observation columns that JPEG can take, and its quality."""
    return {name: quality for env in envs for name, quality in plan.training.lossy(env.observation_space).items()}


def _said(plan: EdgePlan, envs: Sequence[Any]) -> int:
    """Print what steps of each robot will bring."""
    for robot, env in zip(plan.robots, envs, strict=True):
        rows = plan.training.declared(env.observation_space, env.action_space)
        print(f"{robot.name}:\n{traffic.declared(rows, 1 / robot.period)}")
        offered = env.get_wrapper_attr("raw_sources") if env.has_wrapper_attr("raw_sources") else ()
        streams = ", ".join(f"{source.name} at about {source.rate:g} Hz" for source in offered)
        kept = f"in {plan.archive}, {traffic.size(plan.raw_bytes)} at most" if plan.record else "nowhere: --no-raw"
        print(f"beyond that: {streams or 'nothing'}{f', kept {kept}' if streams else ''}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
