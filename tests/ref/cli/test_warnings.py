"""What is odd and keeps no command from its work: a line on standard error, once."""

import pytest

from addcow_ref.cli._terminal import shown
from addcow_spec.text import printable
from tests.ref.cli.command import done, img, qemu
from tests.ref.scenes import noise

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def probed(home):
    """An image over another one, whose format only a probe can tell."""
    (home / "i.raw").write_bytes(noise(65536))
    done("create", "-q", "-o", "image_file=i.raw", "below")
    done("create", "-q", "-b", "below", "-o", "image_file=j.raw", "x")
    return "x"


COMMANDS = {
    "map": ["map", "x"],
    "io": ["io", "-c", "read 0 1", "-c", "read 1 1", "x"],
    "convert": ["convert", "x", "copy"],
    "compare": ["compare", "x", "i.raw"],
    "resize": ["resize", "x", "128k"],
    "stream": ["stream", "x"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("probed")
def test_notes_are_told_once(name):
    errors = img(*COMMANDS[name]).errors.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("addcow-img: warning: x: ACW-CHN-003: ")


@pytest.mark.parametrize("name", ["convert", "compare", "resize", "stream"])
@pytest.mark.usefixtures("probed")
def test_quiet_has_no_warnings(name):
    command, *rest = COMMANDS[name]
    assert img(command, "-q", *rest).errors == ""


def test_info_has_them_among_its_facts(probed):
    assert "        [0]: ACW-CHN-003: " in done("info", probed)


def test_an_image_that_is_not_odd_is_not_warned_of(disk):
    assert done("map", disk)
    done("convert", disk, "copy")


@pytest.mark.system
def test_a_format_that_was_not_stated_is_told(home):
    (home / "r").write_bytes(bytes(65536))
    assert qemu("qemu-img", "create", "-q", "-f", "qcow2", "q", "64k").status == 0
    (line,) = img("convert", "q", "copy").errors.splitlines()
    assert line.startswith("addcow-img: warning: q: ACW-CHN-003: ")
    assert line.endswith("-f")
    assert img("convert", "-q", "q", "copy").errors == done("convert", "-f", "qcow2", "q", "copy") == ""
    (line,) = img("compare", "r", "q").errors.splitlines()
    assert line.endswith("-F")
    assert len(img("compare", "q", "q").errors.splitlines()) == 2
    assert done("compare", "-f", "qcow2", "-F", "raw", "q", "r")


def test_warnings_name_files_as_printable(home):
    (home / "i.raw").write_bytes(bytes(65536))
    name = "\x1b]0;x"
    done("create", "-q", "-o", "image_file=i.raw", "below")
    done("create", "-q", "-b", "below", "-o", "image_file=j.raw", name)
    errors = img("map", name).errors
    assert "warning: \\u{1b}]0;x: ACW-" in errors
    assert "\x1b" not in errors


@pytest.mark.parametrize("name", [b"plain", b"a\\b", b"\x1b[1m\n\xff\xe2\x80\xae"])
def test_what_is_printable_is_shown_as_it_is(name):
    assert shown(printable(name)) == printable(name)


def test_what_is_not_is_escaped():
    assert shown("a\\b \x1b\udcff\u202e\n") == r"a\b \u{1b}\xff\u{202e}\u{a}"
