"""Files of WireGuard: what is in them fits together, and where WireGuard is installed a tunnel of them carries."""

from __future__ import annotations

import base64
import shutil
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from user_gym.cli.main import main
from user_gym.errors import BadBlock, BadOption, Unwritable
from user_gym.system.link import tunnel
from user_gym.system.link.wan import Line, Wan, obstacle

TIMEOUT = 30.0  # s


def made(folder, *edges, **options):
    return tunnel.write(tunnel.plan(folder, "198.51.100.1", edges, **options), folder)


def public(private):
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def test_each_side_knows_the_others_key_and_both_share_one(tmp_path):
    files = made(tmp_path, "arm-1", "arm-2")
    (_, hub), *peers = tunnel.read(files["hub"])
    assert hub["listenport"] == "51820"
    assert [name for name, _ in peers] == ["Peer", "Peer"]
    for edge, (_, peer) in zip(("arm-1", "arm-2"), peers, strict=True):
        (_, own), (_, there) = tunnel.read(files[edge])
        assert there["publickey"] == public(hub["privatekey"])
        assert peer["publickey"] == public(own["privatekey"])
        assert peer["presharedkey"] == there["presharedkey"]
        assert peer["allowedips"] == own["address"].replace("/24", "/32")
        assert there["allowedips"] == "10.87.0.1/32"
        assert there["endpoint"] == "198.51.100.1:51820"
        assert there["persistentkeepalive"] == "25"
    assert len({peer["presharedkey"] for _, peer in peers}) == 2


def test_files_are_their_owners_alone(tmp_path):
    for path in made(tmp_path, "arm-1").values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with pytest.raises(Unwritable):
        made(tmp_path, "arm-2")


def test_another_edge_later_leaves_the_others_as_they_are(tmp_path):
    before = made(tmp_path, "arm-1")["arm-1"].read_text()
    (_, hub), *_ = tunnel.read(tmp_path / "hub" / tunnel.FILE)
    files = made(tmp_path, "arm-2", "arm-1")
    assert files["arm-1"].read_text() == before
    (_, again), *peers = tunnel.read(files["hub"])
    assert again == hub
    assert len(peers) == 2


def test_an_address_that_became_free_is_given_again(tmp_path):
    made(tmp_path, "arm-1", "arm-2")
    shutil.rmtree(tmp_path / "arm-1")
    planned = tunnel.plan(tmp_path, "198.51.100.1", ["arm-3"])
    assert {edge.name: edge.address for edge in planned.edges} == {"arm-2": "10.87.0.3", "arm-3": "10.87.0.2"}


def test_in_a_mesh_edges_send_everything_inside_to_the_hub_and_it_forwards(tmp_path):
    files = made(tmp_path, "arm-1", mesh=True)
    assert tunnel.read(files["arm-1"])[1][1]["allowedips"] == "10.87.0.0/24"
    assert "forwarding=1" in tunnel.read(files["hub"])[0][1]["postup"]
    assert "forwarding" not in files["arm-1"].read_text()


@pytest.mark.parametrize(
    ("edges", "options"),
    [(["hub"], {}), (["../x"], {}), ([f"e{k}" for k in range(254)], {}), ([], {"port": 0}), ([], {"port": 70_000})],
)
def test_what_cannot_be_is_refused(tmp_path, edges, options):
    with pytest.raises(BadOption):
        tunnel.plan(tmp_path, "198.51.100.1", edges, **options)
    with pytest.raises(BadOption, match="host of the hub"):
        tunnel.plan(tmp_path, "a host\nPostUp = reboot", [])


@pytest.mark.parametrize(
    "text", ["", "[Interface]\n", "[Interface\n", "[Interface]\nPrivateKey = secret\nAddress = 10.87.0.2/24\n"]
)
def test_another_file_is_named_and_its_secrets_are_not(tmp_path, text):
    path = made(tmp_path, "arm-1")["arm-1"]
    path.write_text(text)
    with pytest.raises(BadBlock, match=str(path)) as caught:
        made(tmp_path, "arm-2")
    assert "secret" not in str(caught.value)


def test_no_secret_is_printed_unless_asked_for(tmp_path, capsys):
    command = ["tunnel", "config", "--hub", "learner.example.org", "--edge", "arm-1", "--folder", str(tmp_path)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    (_, own), (_, there) = tunnel.read(tmp_path / "arm-1" / tunnel.FILE)
    (_, hub), _ = tunnel.read(tmp_path / "hub" / tunnel.FILE)
    secrets = own["privatekey"], there["presharedkey"], hub["privatekey"]
    assert not any(secret in shown for secret in secrets)
    assert public(own["privatekey"]) in shown
    assert main([*command, "--show"]) == 0
    assert all(secret in shown for shown in [capsys.readouterr().out] for secret in secrets)


MISSING = [name for name in ("wg-quick", "wg", "wireguard-go", "unshare", "ip") if shutil.which(name) is None]
# Both ends share this machine's files, and WireGuard's tools meet under /run/wireguard: each end gets its own.
UP = """
mkdir -p /run/wireguard && mount -t tmpfs none /run/wireguard && wg-quick up {file} && {then}
echo over; read line; wg-quick down {file}
"""
SERVE = (
    "import socket; s = socket.create_server(('10.87.0.1', 7000)); print('ready', flush=True); s.accept()[0].sendall(b'hello')"
)
ASK = "import socket; print(socket.create_connection(('10.87.0.1', 7000), 10).recv(9).decode(), flush=True)"


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
def test_a_tunnel_of_these_files_leads_from_behind_nat_to_the_hub(tmp_path):
    files = made(tmp_path, "arm-1")

    def up(place, name, code):
        then = f"{sys.executable} -c {code!r}" if "'" not in code else f'{sys.executable} -c "{code}"'
        command = ["unshare", "--mount", "sh", "-c", UP.format(file=files[name], then=then)]
        return place.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    with Wan(Line(delay=0.01)) as wan:
        hub = up(wan.cloud, "hub", SERVE)
        assert hub.stdout.readline() == "ready\n"
        edge = up(wan.site, "arm-1", ASK)
        assert edge.communicate("\n", timeout=TIMEOUT)[0] == "hello\nover\n"
        assert hub.communicate("\n", timeout=TIMEOUT)[0] == "over\n"
