"""Faults of storage: whatever the target is, it stays what it is, and errors name it."""

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from storage_faults import Failing, kill_when, run_as_nobody, run_forked

from ordlib.utils.cache import TEMPORARY_PREFIX, atomic_write, delete_remains, writers_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX systems")


def write(path, text="new"):
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def remains(folder):
    return [path for path in folder.rglob("*") if TEMPORARY_PREFIX in str(path)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    return path


# Links.


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(tmp_path, steps, exists):
    target = tmp_path / "elsewhere" / "target.csv"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    link = target
    for step in range(steps):
        (tmp_path / f"link{step}").symlink_to(link)
        link = tmp_path / f"link{step}"
    write(link)
    assert link.is_symlink()
    assert target.read_text() == link.read_text() == "new"
    assert not remains(tmp_path)


def test_relative_link_and_linked_folder(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("../target")
    monkeypatch.chdir(tmp_path)
    write(Path("folder/link"))
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "real" / "link").is_symlink()


def test_loop_of_links_is_named(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"symbolic links: '.*/a'"):
        write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


# Devices, pipes, sockets.


def test_device_stays_a_device(tmp_path):
    device = Path("/dev/null")
    if os.geteuid() == 0:  # As root, the real one would be replaced if this failed.
        device = tmp_path / "null"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    write(device)
    assert stat.S_ISCHR(device.stat().st_mode)


def test_full_device_is_named():
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write("/dev/full")


def test_pipe_gets_the_content(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, "x" * 100_000)
    reader.join(10)
    assert received == [b"x" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_pipe_whose_reader_leaves_is_named(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def read_a_little():
        with open(pipe, "rb", buffering=0) as stream:
            stream.read(1)

    reader = threading.Thread(target=read_a_little, daemon=True)
    reader.start()
    with pytest.raises(BrokenPipeError, match=r"Broken pipe: '.*/pipe'"):
        write(pipe, "x" * 1_000_000)
    reader.join(10)


def test_socket_is_named_and_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OSError, match="'socket'"):
            write(Path("socket"))
    assert stat.S_ISSOCK(os.stat("socket").st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("to_file", [True, False])
def test_own_descriptors_are_written_to_in_order(tmp_path, name, to_file):
    if name.startswith("/proc") and not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import os, sys\nfrom ordlib.utils.cache import atomic_write\n"
        "os.write(1, b'before ')\n"
        "with atomic_write(sys.argv[1]) as temporary: temporary.write_text('table ')\n"
        "os.write(1, b'after')\n"
    )
    output = tmp_path / "out"
    with open(output, "wb") as stream:
        target = stream if to_file else subprocess.PIPE
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, stdout=target, check=True)
    assert (output.read_bytes() if to_file else done.stdout) == b"before table after"


# Folders.


@pytest.mark.parametrize("content", [[], ["a"]])
@pytest.mark.parametrize("linked", [True, False])
def test_folder_is_not_replaced_by_a_file(tmp_path, content, linked):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in content:
        (folder / name).write_text("old")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(IsADirectoryError, match=r"is a folder; give a file: '.*/(folder|link)'"):
        write(tmp_path / "link" if linked else folder)
    assert [path.name for path in folder.iterdir()] == content
    assert not remains(tmp_path)


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "split").mkdir()
    with atomic_write(tmp_path / "split") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("new")
    assert (tmp_path / "split" / "a").read_text() == "new"


def test_folder_does_not_replace_a_file(file):
    with pytest.raises(NotADirectoryError, match=r"table\.csv'$"), atomic_write(file) as temporary:
        temporary.mkdir()
    assert file.read_text() == "old"


@pytest.mark.parametrize("target", ["", ".", "/"])
def test_path_without_a_name_is_a_folder(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="folder"):
        write(target)
    assert list(tmp_path.iterdir()) == []


def test_file_as_parent_is_named(file):
    with pytest.raises(NotADirectoryError, match=r"table\.csv"):
        write(file / "a.csv")


def test_dangling_link_as_parent_is_created(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "missing")
    write(tmp_path / "out" / "a.csv")
    assert (tmp_path / "missing" / "a.csv").read_text() == "new"


# Modes and owners.


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o4755, 0o200])
def test_mode_is_kept(file, mode):
    file.chmod(mode)
    write(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    file.chmod(0o600)
    assert file.read_text() == "new"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("in_folder", [True, False])
def test_new_files_get_the_usual_mode(tmp_path, umask, in_folder):
    """Also those of safetensors, which makes private files."""
    previous = os.umask(umask)
    try:
        with atomic_write(tmp_path / "target") as temporary:
            target = temporary
            if in_folder:
                temporary.mkdir()
                target = temporary / "model.safetensors"
            save_file({"a": torch.ones(1)}, target)
    finally:
        os.umask(previous)
    written = tmp_path / "target" / "model.safetensors" if in_folder else tmp_path / "target"
    assert stat.S_IMODE(written.stat().st_mode) == 0o666 & ~umask


def test_owner_is_kept(file):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(file, 1234, 4321)
    write(file)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)
    assert file.read_text() == "new"


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_read_only_file_is_kept_before_any_work(file, mode):
    file.chmod(mode)
    with pytest.raises(PermissionError, match=r"is read-only.*table\.csv"), atomic_write(file):
        pytest.fail("the block was entered")
    assert file.read_text() == "old"


@pytest.fixture
def public_file(public_folder):
    path = public_folder / "table.csv"
    path.write_text("old")
    path.chmod(0o666)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_file_of_another_user_stays_his_if_it_can_be_written(public_file, mode):
    """Also in a sticky folder, in which it cannot be replaced."""
    public_file.parent.chmod(mode)
    assert run_as_nobody(lambda: write(public_file)) == "None"
    assert (public_file.read_text(), public_file.stat().st_uid) == ("new", 0)
    assert not remains(public_file.parent)
    public_file.chmod(0o644)
    message = run_as_nobody(lambda: write(public_file))
    assert message.startswith("PermissionError: [Errno 13] is read-only")
    assert public_file.read_text() == "new"


def test_existing_files_are_overwritten_without_creating_them(file, monkeypatch):
    """Linux may forbid O_CREAT for the files of others in folders for all."""
    flags, opened = [], os.open
    monkeypatch.setattr(os, "open", lambda p, f, *a: (flags.append(f), opened(p, f, *a))[1])
    with Failing(errno.EPERM, 0, "os.replace"):
        write(file)
    assert file.read_text() == "new"
    assert [flag & os.O_CREAT for flag in flags if flag & os.O_TRUNC] == [0]


def test_read_only_folder(public_file):
    folder = public_file.parent
    folder.chmod(0o555)
    assert run_as_nobody(lambda: write(public_file)) == "None"
    assert public_file.read_text() == "new"
    message = run_as_nobody(lambda: write(folder / "other.csv"))
    assert message.startswith("PermissionError")
    assert message.endswith("other.csv'")
    folder.chmod(0o000)
    assert run_as_nobody(lambda: write(public_file)).startswith("PermissionError")
    folder.chmod(0o755)
    assert not remains(folder)


# Names.

NAMES = {
    "newline": "a\nb.csv",
    "tab and quotes": "\t'\".csv",
    "dash": "-rf",
    "dots": "...",
    "accents": "\u00e9t\u00e9 e\u0301.csv",
    "no UTF-8": "\udcff\udcfe.csv",
    "longest": "n" * 251 + ".csv",
    "longest in bytes": "\u4e2d" * 85,
    "escape codes": "\x1b[31m.csv",
    "percent": "%s{0}*?[a].csv",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_that_a_file_may_have(tmp_path, name):
    try:
        (tmp_path / name).write_text("old")
    except OSError:
        pytest.skip("not a name here")
    write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "new"


@pytest.mark.parametrize("name", ["n" * 256, "a/" * 2100 + "b"])
def test_too_long_a_name_is_named(tmp_path, name):
    with pytest.raises(OSError, match="File name too long"):
        write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# Failing calls.

CALLS = ("tempfile.mkdtemp", "os.fsync", "os.chmod", "os.replace")


@pytest.mark.parametrize("at", range(len(CALLS)))
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_failing_call_keeps_the_old_file_and_is_named(file, at, error):
    with Failing(error, at, *CALLS) as failing:
        if error == errno.EROFS and CALLS[at] in ("os.chmod", "os.replace"):
            write(file)  # Overwritten.
        else:
            with pytest.raises(OSError, match=r"table\.csv'$"):
                write(file)
            assert file.read_text() == "old"
    assert failing.calls[at] == CALLS[at]
    assert not remains(file.parent)


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EBUSY, errno.EPERM])
def test_file_that_cannot_be_replaced_is_overwritten(file, error):
    """As on a mounted file, or on a file system of several disks."""
    inode = file.stat().st_ino
    with Failing(error, 0, "os.replace"):
        write(file)
    assert (file.read_text(), file.stat().st_ino) == ("new", inode)


def test_overwriting_that_fails_is_named(file):
    with (
        Failing(errno.EXDEV, 0, "os.replace"),
        Failing(errno.ENOSPC, 0, "shutil.copyfileobj"),
        pytest.raises(OSError, match=r"No space left on device: '.*table\.csv'"),
    ):
        write(file)


def test_folder_on_another_disk_is_named(tmp_path):
    with (
        Failing(errno.EXDEV, 0, "os.replace"),
        pytest.raises(OSError, match=r"'.*split'$"),
        atomic_write(tmp_path / "split") as temporary,
    ):
        temporary.mkdir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_folder", [True, False])
def test_full_disk_in_the_block_names_the_final_file(file, in_folder):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with atomic_write(file.parent / "split" if in_folder else file) as temporary:
            if in_folder:
                temporary.mkdir()
                temporary = temporary / "images.npy"
            temporary.write_bytes(b"x" * 20_000)

    name = "split" if in_folder else "table.csv"
    assert run_forked(limited) == f"OSError: [Errno 27] File too large: '{file.parent / name}'"
    assert file.read_text() == "old"
    assert [path.name for path in file.parent.iterdir()] == ["table.csv"]


def test_errors_of_other_files_in_the_block_stay(file):
    with pytest.raises(FileNotFoundError, match=r"'other.csv'$"), atomic_write(file):
        Path("other.csv").read_text()
    with pytest.raises(OSError, match=r"^image 3$"), atomic_write(file):
        raise OSError("image 3")


def test_content_is_on_disk_before_the_rename(file, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(os.fstat(fd).st_size), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("rename"), replace(*a))[1])
    write(file, "12345")
    with atomic_write(file.parent / "split") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
    assert calls == [5, "rename", 1, "rename"]


# The cache.

REMEDIES = {
    errno.ENOSPC: r"free space with `ordlib cache --older-than DAYS`",
    errno.EDQUOT: r"free space with `ordlib cache",
    errno.EROFS: "ask whoever shares this one to fill it",
    errno.EACCES: "ask whoever shares this one",
    errno.EIO: "ask whoever",
}


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(("error", "remedy"), REMEDIES.items())
def test_errors_of_the_cache_name_the_variable(tmp_path, monkeypatch, error, remedy, at):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    kind = PermissionError if error in (errno.EROFS, errno.EACCES) else OSError
    message = rf"the cache cannot be written \({os.strerror(error)}\); set ORDLIB_CACHE .*{remedy}"
    names = ("tempfile.mkdtemp", "os.fsync")
    with Failing(error, at, *names), pytest.raises(kind, match=message):
        write(tmp_path / "a" / "b")


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("loop")])
def test_cache_that_is_no_folder_names_the_variable(tmp_path, monkeypatch, make):
    make(tmp_path / "loop")
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "loop"))
    with pytest.raises(OSError, match="set ORDLIB_CACHE to a folder"):
        write(tmp_path / "loop" / "a" / "b")


# Killed and concurrent processes.

SLOW_WRITER = """
import sys, time
from pathlib import Path
from ordlib.utils.cache import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    time.sleep(60)
"""


@pytest.mark.slow
def test_remains_of_a_killed_writer_are_deleted_by_the_next(file):
    kill_when(SLOW_WRITER, file, ready=lambda: any(p.is_file() for p in remains(file.parent)))
    assert file.read_text() == "old"
    assert remains(file.parent)
    write(file.parent / "other.csv")
    assert not remains(file.parent)


@pytest.mark.slow
def test_remains_of_a_living_writer_stay(file):
    process = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(file)])
    try:
        while not any(path.is_file() for path in remains(file.parent)):
            assert process.poll() is None
        write(file.parent / "other.csv")
        assert remains(file.parent)
    finally:
        process.kill()
        process.wait()


def test_remains_stay_while_anybody_writes(tmp_path):
    left = tmp_path / f"{TEMPORARY_PREFIX}left"
    left.mkdir()
    (tmp_path / ".ordlib-mine").mkdir()
    with writers_lock(tmp_path / "missing"):
        pass
    (left / "half").write_text("x")
    (tmp_path / "lonely.npy").write_text("x")
    (tmp_path / "pair.npy").write_text("x")
    (tmp_path / "pair.json").write_text("x")
    arguments = (tmp_path, ".npy", ".json")
    with writers_lock(tmp_path.parent), writers_lock(tmp_path):
        left.mkdir(exist_ok=True)
        (tmp_path / "lonely.npy").touch()
        delete_remains(*arguments)
        assert left.exists()
        assert (tmp_path / "lonely.npy").exists()
    delete_remains(*arguments)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".ordlib-mine", "pair.json", "pair.npy"]


def test_writing_without_locks(file, monkeypatch):
    """As on a network disk that has none: then nothing is deleted."""
    import fcntl

    left = file.parent / f"{TEMPORARY_PREFIX}left"
    left.mkdir()
    monkeypatch.setattr(fcntl, "flock", Failing(errno.ENOLCK, 0, "fcntl.flock")._wrap("", None))
    with Failing(errno.ENOLCK, 0, "fcntl.flock"):
        write(file)
    assert file.read_text() == "new"
    assert left.exists()


WRITER = """
import sys
from ordlib.utils.cache import atomic_write
for number in range(40):
    with atomic_write(sys.argv[1]) as temporary:
        temporary.write_text(sys.argv[2] * 100_000)
"""


@pytest.mark.slow
def test_two_processes_that_write_one_file_leave_a_complete_one(file):
    file.write_text("a" * 100_000)
    command = [sys.executable, "-c", WRITER, str(file)]
    writers = [subprocess.Popen([*command, letter]) for letter in "abc"]
    while any(writer.poll() is None for writer in writers):
        assert file.read_text() in {letter * 100_000 for letter in "abc"}
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert not remains(file.parent)


def test_temporary_folder_that_cannot_be_deleted_is_no_error(file, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(file.parent))
    with Failing(errno.EBUSY, 0, "os.rmdir", "os.unlink"):
        write(file)
    assert file.read_text() == "new"
