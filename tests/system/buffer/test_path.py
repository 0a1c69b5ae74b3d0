"""What is no path of a buffer is refused with what would do, and nothing is made there."""

import pytest
from rights import bound
from stores import block, segments

from user_gym.errors import BadOption, Unwritable, WrongRun
from user_gym.system import Buffer
from user_gym.system.buffer.store import Store

KINDS = [Buffer, Store]
MODES = [False, True]


@pytest.mark.parametrize("read_only", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_refused_and_stays_as_it_is(tmp_path, kind, read_only):
    (tmp_path / "one.py").write_text("print()")
    with pytest.raises(WrongRun, match=r"one\.py holds no buffer: it is a file; take a folder"):
        kind.open(tmp_path / "one.py", read_only=read_only)
    assert (tmp_path / "one.py").read_text() == "print()"


@pytest.mark.parametrize("read_only", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_path_is_refused_and_nothing_is_made(tmp_path, monkeypatch, kind, read_only):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadOption, match=r"bad path of a buffer ''; allowed: a folder; '\.' is"):
        kind.open("", read_only=read_only)
    assert not list(tmp_path.iterdir())
    if not read_only:
        kind.open(".").close()
        assert (tmp_path / "segments").is_dir()


def test_a_buffer_in_memory_is_not_opened_read_only():
    with pytest.raises(BadOption, match="bad read_only True; allowed: False with ':memory:'"):
        Buffer.open(":memory:", read_only=True)


@pytest.mark.parametrize("read_only", MODES)
def test_the_folder_around_a_buffer_does_not_become_one_too(tmp_path, read_only):
    Buffer.open(tmp_path / "run" / "buffer").close()
    with pytest.raises(WrongRun, match=r"holds no buffer, but a folder of one; take .*run/buffer"):
        Buffer.open(tmp_path / "run", read_only=read_only)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["buffer"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_of_a_folder_that_is_no_buffer_is_not_told_to_write_there(tmp_path, kind):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(WrongRun, match=r"holds no buffer; take a folder with index\.sqlite and segments/$"):
        kind.open(tmp_path, read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_of_a_buffer_without_its_index_is_told_how_to_make_it_anew(tmp_path, kind):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
    (tmp_path / "index.sqlite").unlink()
    with pytest.raises(WrongRun, match=r"there is no index\.sqlite; open it once to write, or `user-gym buffer repair`"):
        kind.open(tmp_path, read_only=True)


def test_a_reader_that_comes_before_the_writer_is_told_to_wait_for_it(tmp_path):
    with pytest.raises(WrongRun, match=r"no such folder; begin with the process that writes"):
        Buffer.open(tmp_path / "later", read_only=True)


@pytest.mark.parametrize("name", ["", "index.sqlite"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_may_not_be_read_is_named_with_a_cure(tmp_path, kind, name):
    with Store.open(tmp_path / "buffer") as store:
        store.append([block(0)])
    (tmp_path / "buffer" / name).chmod(0)
    with bound():
        for read_only in MODES:
            with pytest.raises(Unwritable, match=rf"{tmp_path}.*; give this user the right"):
                kind.open(tmp_path / "buffer", read_only=read_only)
    (tmp_path / "buffer" / name).chmod(0o755)
    with kind.open(tmp_path / "buffer") as opened:
        assert len(opened) == 4
    assert len(segments(tmp_path / "buffer")) == 1


def test_a_log_that_may_not_be_read_is_named_with_a_cure(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
        (tmp_path / "index.sqlite-wal").chmod(0)
        with bound(), pytest.raises(Unwritable, match=r"index\.sqlite-wal.*; give this user the right"):
            Store.open(tmp_path, read_only=True)
