"""Where the Tcl files are. What a user sees of it is tested with the command, in test_cli.py."""

import tkinter
from pathlib import Path

import pytest

from pysmtpd import location


@pytest.mark.parametrize(
    "name", ["/plain/path", "/with space", "/br{ace", "/back\\slash", "/semi;colon", "/[exec]", "/$x", "/é", "/#x"]
)
def test_a_folder_is_one_element_of_a_tcl_list(name):
    [element] = tkinter.Tcl().tk.splitlist(location.as_tcl_list(Path(name)))
    assert element == name


def test_plain_paths_are_left_as_they_are():
    assert location.as_tcl_list(Path("/usr/lib/python3.11/x-y_z~1")) == "/usr/lib/python3.11/x-y_z~1"


@pytest.mark.parametrize("place", ["pysmtpd/tcl", "tcl"])
def test_the_folder_is_inside_the_package_or_beside_it(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "pkgIndex.tcl").touch()
    assert location.tcl_path(tmp_path / "pysmtpd") == tmp_path / place


def test_without_the_folder_the_error_says_where_was_looked(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        location.tcl_path(tmp_path / "pysmtpd")


def test_the_interpreter_is_recorded_for_a_checkout_only(tmp_path):
    package = tmp_path / "pysmtpd"
    for folder in (package / "tcl", tmp_path / "tcl"):
        folder.mkdir(parents=True)
        location.record_interpreter(folder, package)
    assert not (package / "tcl" / "interpreter").exists()
    assert Path((tmp_path / "tcl" / "interpreter").read_text()).is_file()
