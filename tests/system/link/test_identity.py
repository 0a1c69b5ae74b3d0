"""Bundles, books and secrets as files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from doors import folder_of

from user_gym.errors import BadOption, UnknownName, Unwritable, WrongRun
from user_gym.system.link.identity import names
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.identity.roster import OPERATOR

HUB = "hub.example.org:5870"


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_bundle_comes_back_from_its_file_and_nobody_else_can_read_it(folder, tmp_path):
    old = os.umask(0)
    try:
        bundle = folder.enroll("arm-1", HUB)
        bundle.save(tmp_path / "arm-1.bundle")
    finally:
        os.umask(old)
    assert Bundle.load(tmp_path / "arm-1.bundle") == bundle
    assert mode(tmp_path / "arm-1.bundle") == mode(folder.path / "authority.key") == mode(folder.path / "roster.json") == 0o600
    assert mode(folder.path) == 0o700


def test_no_secret_is_in_the_books_in_the_diary_or_in_what_is_printed(folder):
    bundle = folder.enroll("arm-1", HUB)
    kept = "".join((folder.path / name).read_text() for name in ("roster.json", "audit.jsonl"))
    for secret in (bundle.token, bundle.key):
        assert secret not in kept
        assert secret not in repr(bundle)


@pytest.mark.parametrize("change", [0o644, 0o640, 0o602])
def test_a_bundle_that_others_can_read_is_refused(folder, tmp_path, change):
    path = tmp_path / "arm-1.bundle"
    folder.enroll("arm-1", HUB).save(path)
    path.chmod(change)
    with pytest.raises(Unwritable, match="chmod 600"):
        Bundle.load(path)


def test_the_key_of_an_authority_that_others_can_read_is_refused(folder):
    folder.enroll("arm-1", HUB)
    (folder.path / "authority.key").chmod(0o644)
    with pytest.raises(Unwritable, match="chmod 600"):
        folder.authority()


def test_a_folder_that_others_may_write_is_refused(folder):
    folder.path.mkdir()
    folder.path.chmod(0o777)
    with pytest.raises(Unwritable, match="chmod 700"):
        folder.enroll("arm-1", HUB)


def test_a_bundle_is_never_written_over_another_file(folder, tmp_path):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(BadOption, match="a new one"):
        folder.enroll("arm-1", HUB).save(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"format": 2}', '{"format": 1, "name": "a"}', "x" * 100])
def test_what_is_no_bundle_is_refused_in_words(tmp_path, text):
    path = tmp_path / "bundle"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(WrongRun, match="user-gym hub enroll"):
        Bundle.load(path)
    with pytest.raises(WrongRun, match="is not there"):
        Bundle.load(tmp_path / "none")


def test_a_field_of_another_type_makes_no_bundle(folder, tmp_path):
    path = tmp_path / "bundle"
    folder.enroll("arm-1", HUB).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"token": 7}))
    with pytest.raises(WrongRun, match="another type"):
        Bundle.load(path)


def test_a_name_has_one_bundle_until_it_is_revoked_or_renewed(folder):
    first = folder.enroll("arm-1", HUB)
    with pytest.raises(BadOption, match="renew"):
        folder.enroll("arm-1", HUB)
    assert folder.enroll("arm-1", HUB, renew=True).token != first.token
    folder.revoke("arm-1")
    assert folder.enroll("arm-1", HUB, role=OPERATOR).name == "arm-1"
    assert folder.roster.members()["arm-1"].role == OPERATOR


def test_only_who_is_known_can_be_revoked(folder):
    folder.enroll("arm-1", HUB)
    with pytest.raises(UnknownName, match="did you mean 'arm-1'"):
        folder.revoke("arm-2")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "-a", "a'b", "ä", "a" * 64, 7, None])
def test_names_that_are_unsafe_in_a_path_or_a_query_are_refused(folder, name):
    assert not names.is_name(name)
    with pytest.raises(BadOption, match="letters, digits"):
        folder.enroll(name, HUB)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hub": "hub"}, "HOST:PORT"),
        ({"hub": ":1"}, "HOST:PORT"),
        ({"role": "king"}, "edge or operator"),
        ({"days": 4000.0}, "days"),
    ],
)
def test_options_of_an_enrolment_are_checked(folder, options, words):
    with pytest.raises(BadOption, match=words):
        folder.enroll("arm-1", **{"hub": HUB} | options)


def test_two_that_enroll_at_once_do_not_lose_each_other(folder):
    folder.enroll("first", HUB)
    other = folder_of(folder.path.parent)
    other.roster.members()
    folder.enroll("second", HUB)
    other.enroll("third", HUB)
    assert set(folder.roster.members()) == {"first", "second", "third"}


def test_damaged_books_are_an_error_and_no_empty_books(folder):
    folder.enroll("arm-1", HUB)
    (folder.path / "roster.json").write_text("{")
    with pytest.raises(WrongRun, match="no list of members"):
        folder.roster.members()


def test_a_source_says_whose_it_is():
    assert names.owner(names.source("arm-1", "left")) == "arm-1"
