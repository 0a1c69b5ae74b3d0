"""Who gets through to a hub, and with which TLS: real handshakes on loopback."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from threading import Thread

import grpc
import pytest
from doors import folder_of, greeted, listening

from user_gym.errors import NotAdmitted, PeerLost

HOST = "127.0.0.1"


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path)


@pytest.fixture
def bundle(folder):
    return folder.enroll("arm-1", f"{HOST}:1")


def test_an_enrolled_edge_is_let_in_under_its_name(folder, bundle):
    with listening(folder) as address:
        assert greeted(address, bundle) == "arm-1"


def test_a_hub_that_asks_for_no_certificate_goes_by_the_token(folder, bundle):
    with listening(folder, mutual=False) as address:
        shown = grpc.ssl_channel_credentials(bundle.authority.encode())
        assert greeted(address, bundle, shown) == "arm-1"
        with pytest.raises(NotAdmitted, match="no such token"):
            greeted(address, replace(bundle, token="x" * 43), shown)


def test_a_hub_answers_with_tls_1_3(folder, bundle, tmp_path):
    (tmp_path / "edge.pem").write_text(bundle.certificate + bundle.key)
    context = ssl.create_default_context(cadata=bundle.authority)
    context.load_cert_chain(tmp_path / "edge.pem")
    context.set_alpn_protocols(["h2"])
    with listening(folder) as address, shaken(address, context) as secured:
        assert secured.version() == "TLSv1.3"


def test_an_edge_asks_for_tls_1_3(folder, bundle, tmp_path):
    versions = []
    with pytest.raises(PeerLost):  # after the handshake it hangs up
        served(folder, tmp_path, lambda secured: versions.append(secured.version()), lambda address: greeted(address, bundle))
    assert versions[0] == "TLSv1.3"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_hub_refuses_what_is_older_than_tls_1_2(folder, bundle, tmp_path):
    (tmp_path / "edge.pem").write_text(bundle.certificate + bundle.key)
    context = ssl.create_default_context(cadata=bundle.authority)
    context.load_cert_chain(tmp_path / "edge.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.TLSv1
    with listening(folder) as address:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        shaken(address, context).close()
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shaken(address, context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_edge_refuses_a_hub_that_is_older_than_tls_1_2(folder, bundle, tmp_path):
    def old(context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    with pytest.raises(PeerLost):
        served(folder, tmp_path, lambda _: None, lambda address: greeted(address, bundle), old)


def test_plain_text_is_refused_by_a_hub_with_tls(folder, bundle):
    with listening(folder) as address, pytest.raises(PeerLost):
        greeted(address, None)


def test_an_edge_with_a_bundle_says_nothing_in_plain_text(bundle):
    with listening(None) as address, pytest.raises(PeerLost, match=r"(?i)handshake|ssl"):
        greeted(address, bundle)


def test_nobody_comes_in_without_a_certificate(folder, bundle):
    with listening(folder) as address, pytest.raises(PeerLost):
        greeted(address, bundle, grpc.ssl_channel_credentials(bundle.authority.encode()))


def test_nobody_comes_in_without_a_token(folder, bundle):
    with listening(folder) as address, pytest.raises(NotAdmitted, match="no such token"):
        greeted(address, replace(bundle, token=""))


def test_the_token_of_one_edge_does_not_go_with_the_certificate_of_another(folder, bundle):
    other = folder.enroll("arm-2", f"{HOST}:1")
    with listening(folder) as address, pytest.raises(NotAdmitted, match="different members"):
        greeted(address, replace(bundle, token=other.token))


def test_a_hub_under_another_name_is_not_believed(folder, bundle):
    with (
        listening(folder, hosts=("hub.example.org", "127.0.0.2")) as address,
        pytest.raises(PeerLost, match=r"does not name this host: user-gym hub --host HOST"),
    ):
        greeted(address, bundle)


def test_a_hub_of_another_authority_is_not_believed(folder, bundle, tmp_path):
    other = folder_of(tmp_path / "other")
    other.enroll("arm-1", f"{HOST}:1")
    with listening(other) as address, pytest.raises(PeerLost, match="this bundle is of another hub: ask"):
        greeted(address, bundle)


def test_an_edge_of_another_authority_is_not_let_in(folder, bundle, tmp_path):
    foreign = folder_of(tmp_path / "other").enroll("arm-1", f"{HOST}:1")
    with listening(folder) as address, pytest.raises(PeerLost):
        greeted(address, replace(bundle, certificate=foreign.certificate, key=foreign.key))


def test_a_revoked_edge_is_turned_away_by_a_hub_that_runs(folder, bundle):
    with listening(folder) as address:
        assert greeted(address, bundle) == "arm-1"
        folder.revoke("arm-1")
        with pytest.raises(NotAdmitted, match="revoked"):
            greeted(address, bundle)
    noted = [json.loads(line) for line in (folder.path / "audit.jsonl").read_text().splitlines()]
    assert [row["what"] for row in noted] == ["enrolled", "revoked", "turned away"]
    assert "revoked" in noted[-1]["why"]


def test_an_expired_certificate_is_refused(folder):
    with listening(folder_with(folder)) as address, pytest.raises(PeerLost):
        greeted(address, folder.enroll("late", f"{HOST}:1", days=-1.0))


def test_an_expired_token_is_refused(folder, bundle):
    late = folder.enroll("late", f"{HOST}:1", days=-1.0)
    with listening(folder, mutual=False) as address, pytest.raises(NotAdmitted, match="expired"):
        greeted(address, late, grpc.ssl_channel_credentials(bundle.authority.encode()))


def test_a_renewed_bundle_takes_the_place_of_the_old_one(folder, bundle):
    new = folder.enroll("arm-1", f"{HOST}:1", renew=True)
    with listening(folder) as address:
        assert greeted(address, new) == "arm-1"
        with pytest.raises(NotAdmitted, match="no such token"):
            greeted(address, bundle)


def folder_with(folder):
    folder.enroll("somebody", f"{HOST}:1")
    return folder


def port(address):
    return int(address.rpartition(":")[2])


def shaken(address, context):
    """A connection after its handshake."""
    plain = socket.create_connection((HOST, port(address)), 10.0)
    try:
        return context.wrap_socket(plain, server_hostname=HOST)
    except OSError:
        plain.close()
        raise


def served(folder, tmp_path, seen, visit, change=lambda context: None):
    """A hub of Python's own TLS takes one connection, while `visit` is called with its address."""
    issued = folder.authority().for_hub([HOST])
    (tmp_path / "hub.pem").write_bytes(issued.certificate + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "hub.pem")
    context.set_alpn_protocols(["h2"])
    change(context)
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(10.0)

        def take():
            with suppress(OSError):
                plain, _ = listener.accept()
                with plain, context.wrap_socket(plain, server_side=True) as secured:
                    seen(secured)

        thread = Thread(target=take)
        thread.start()
        try:
            visit(f"{HOST}:{listener.getsockname()[1]}")
        finally:
            thread.join(10.0)
