"""What a receiver needs, and that it gets it bit for bit."""

import numpy as np
import pytest
from weight_cases import moved, policy, same

from user_gym.errors import BadBlock, BadOption
from user_gym.system.weights import Broadcaster, Encoder, Held, Narrowed, Receiver
from user_gym.system.weights.blob import Blob, Kind


class Line:
    """A learner's weights, an encoder of them, and receivers; in float32, or rounded to bfloat16."""

    def __init__(self, bf16=False, **options):
        self.broadcaster, self.arrays = Broadcaster(), policy()
        self.view = Narrowed(self.broadcaster) if bf16 else self.broadcaster
        self.encoder = Encoder(Narrowed(self.broadcaster) if bf16 else self.broadcaster, **options)

    def publish(self, arrays=None, **options):
        self.arrays = self.arrays if arrays is None else arrays
        self.broadcaster.publish(self.arrays, "h", **options)

    def expected(self):
        return dict(self.view.newest(-1).arrays)


def kind(blob):
    return Blob.parse(blob).kind


@pytest.mark.parametrize("press", ["zstd", "zlib"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_receiver_gets_what_the_policy_acts_in_bit_for_bit(bf16, press):
    line, receiver = Line(bf16, press=press), Receiver("h")
    assert line.encoder.blob(receiver.held) is None
    for version in range(4):
        line.publish(moved(line.arrays, version))
        assert receiver.apply(line.encoder.blob(receiver.held)) == version
        weights = receiver.newest(version - 1)
        assert (weights.version, weights.spec_hash) == (version, "h")
        assert same(weights, line.expected())
        assert receiver.newest(version) is None
        assert line.encoder.blob(receiver.held) is None


def test_the_first_blob_is_whole_and_the_next_a_small_difference():
    line, receiver = Line(bf16=True), Receiver()
    line.publish()
    whole = line.encoder.blob()
    receiver.apply(whole)
    line.publish(moved(line.arrays))
    difference = line.encoder.blob(receiver.held)
    assert (kind(whole), kind(difference)) == (Kind.FULL, Kind.DIFFERENCE)
    assert len(difference) < len(whole) / 4


def test_four_receivers_cost_one_encoding():
    line, receivers = Line(bf16=True), [Receiver() for _ in range(4)]
    for version in range(3):
        line.publish(moved(line.arrays, version))
        blobs = {id(line.encoder.blob(receiver.held)) for receiver in receivers}
        for receiver in receivers:
            receiver.apply(line.encoder.blob(receiver.held))
        assert len(blobs) == 1
    assert line.encoder.encoded == 3


def test_a_receiver_that_missed_versions_gets_a_difference_to_its_own_while_that_is_kept_and_then_all():
    line, quick, slow = Line(bf16=True, history=2), Receiver(), Receiver()
    line.publish()
    slow.apply(line.encoder.blob())
    kinds = []
    for version in range(3):
        line.publish(moved(line.arrays, version))
        quick.apply(line.encoder.blob(quick.held))
        kinds.append(kind(line.encoder.blob(slow.held)) if version != 1 else None)
    assert kinds == [Kind.DIFFERENCE, None, Kind.FULL]
    slow.apply(line.encoder.blob(slow.held))
    assert same(slow.newest(), line.expected())


def test_versions_that_nobody_asked_for_cost_nothing_and_push_nothing_out():
    line, receiver = Line(bf16=True, history=1 + 1), Receiver()
    line.publish()
    receiver.apply(line.encoder.blob())
    for version in range(10):
        line.publish(moved(line.arrays, version))
    assert kind(line.encoder.blob(receiver.held)) is Kind.DIFFERENCE
    assert line.encoder.encoded == 2


def test_only_tensors_that_changed_travel():
    line, receiver = Line(), Receiver()
    line.publish()
    whole = line.encoder.blob()
    receiver.apply(whole)
    line.publish(moved(line.arrays, names=("adapter",)))
    blob = line.encoder.blob(receiver.held)
    assert len(blob) < 8 * 4 * 4 + 8 + 400 < len(whole) / 100
    receiver.apply(blob)
    assert same(receiver.newest(), line.expected())


@pytest.mark.parametrize("bf16", [False, True])
def test_a_blob_is_never_larger_than_all_of_it_and_a_head(bf16):
    line, receiver = Line(bf16), Receiver()
    line.publish()
    receiver.apply(line.encoder.blob())
    rng = np.random.default_rng(0)
    noise = {n: rng.integers(0, 1 << 32, a.shape, np.uint32).view(np.float32) for n, a in line.arrays.items() if a.ndim}
    with np.errstate(invalid="ignore"):
        line.publish(noise | {"head": noise["embedding"], "steps": np.array(9)})
        blob = line.encoder.blob(receiver.held)
        assert len(blob) <= len(line.encoder.blob())
        receiver.apply(blob)
        assert same(receiver.newest(), line.expected())


def test_a_fast_link_gets_all_of_it_and_a_slow_one_a_difference():
    line, receiver = Line(bf16=True), Receiver()
    line.publish()
    receiver.apply(line.encoder.blob())
    line.publish(moved(line.arrays))
    assert kind(line.encoder.blob(receiver.held, rate=1e11)) is Kind.FULL
    assert kind(line.encoder.blob(receiver.held, rate=1e6)) is Kind.DIFFERENCE


def test_after_a_restart_of_the_sender_an_old_version_is_no_base():
    line, again, receiver = Line(bf16=True), Line(bf16=True), Receiver()
    for version in range(3):
        line.publish(moved(line.arrays, version))
        receiver.apply(line.encoder.blob(receiver.held))
    assert receiver.newest().version == 2
    again.publish(policy(9))
    blob = again.encoder.blob(receiver.held)
    assert kind(blob) is Kind.FULL
    assert receiver.apply(blob) == 0
    assert same(receiver.newest(2), again.expected()), "handed out, though its version is below"
    assert receiver.newest(2) is None


def test_a_source_that_begins_anew_makes_everyone_begin_anew():
    class Source:
        weights = None

        def newest(self, than=-1):
            return self.weights

    source, receiver = Source(), Receiver()
    encoder = Encoder(source)
    first, other = Broadcaster(5), Broadcaster(5)
    source.weights = first.publish(policy(), "h")
    receiver.apply(encoder.blob())
    assert receiver.newest().version == 6
    source.weights = other.publish(policy(4), "h")  # the same version of another learner
    blob = encoder.blob(receiver.held)
    assert kind(blob) is Kind.FULL
    receiver.apply(blob)
    assert same(receiver.newest(6), policy(4))


def test_weights_of_another_policy_and_differences_to_others_are_refused_and_the_old_ones_stay():
    line, receiver, other = Line(bf16=True), Receiver("h"), Receiver("g")
    line.publish()
    first = line.encoder.blob()
    receiver.apply(first)
    with pytest.raises(BadOption, match=r"spec_hash 'h'.*'g'"):
        other.apply(first)
    line.publish(moved(line.arrays))
    line.encoder.blob()
    line.publish(moved(line.arrays, 5))
    difference = line.encoder.blob(receiver.held)
    ahead = line.encoder.blob(Held(receiver.held.lineage, 1))
    with pytest.raises(BadBlock, match="base of a difference"):
        receiver.apply(ahead)
    with pytest.raises(BadBlock, match="base of a difference"):
        Receiver().apply(difference)
    assert receiver.newest().version == 0
    receiver.apply(difference)
    assert receiver.apply(first) == 2, "what comes late changes nothing"


def test_weights_that_are_not_finite_are_refused_where_that_was_asked_for():
    line, receiver = Line(bf16=True, finite=True), Receiver(finite=True)
    line.publish()
    receiver.apply(line.encoder.blob())
    broken = moved(line.arrays)
    broken["body"][77] = np.inf
    line.publish(broken)
    with pytest.raises(BadOption, match=r"'body' of version 1.*element 77"):
        line.encoder.blob(receiver.held)
    assert line.encoder.blob(receiver.held) is None, "the version before is the newest"
    loose = Encoder(Narrowed(line.broadcaster))
    with pytest.raises(BadOption, match="element 77"):
        receiver.apply(loose.blob())
    assert receiver.newest().version == 0


def test_a_receiver_uses_its_memory_again():
    line, receiver = Line(bf16=True), Receiver()
    for version in range(6):
        line.publish(moved(line.arrays, version))
        receiver.apply(line.encoder.blob(receiver.held))
    assert len(receiver._arena) == 2


def test_an_unknown_press_is_refused():
    with pytest.raises(BadOption, match="zstd, zlib"):
        Encoder(Broadcaster(), press="lzma")
