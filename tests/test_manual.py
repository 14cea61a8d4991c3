"""The manual page: made of its source, complete, readable, and with the examples working."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from tclsh import ROOT, run

from pysmtpd.callbacks import CALLBACK_OPTIONS
from pysmtpd.options import OWN_OPTIONS
from pysmtpd.tls_options import TLS_OPTIONS

SOURCE = ROOT / "man" / "smtpd.man"
PAGE = ROOT / "man" / "smtpd.n"


def tools(name):
    if shutil.which(name) is None:
        pytest.fail(f"the test needs {name} (Debian: apt install tcllib man-db)")
    return name


def test_the_page_is_what_the_source_makes(tmp_path):
    shutil.copy(SOURCE, tmp_path)
    subprocess.run([tools("dtplite"), "-o", "made.n", "nroff", "smtpd.man"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "made.n").read_text() == PAGE.read_text(), "run `make man`"


@pytest.fixture(scope="module")
def shown():
    """Return what man shows."""
    result = subprocess.run(
        [tools("man"), "--warnings=all", "-E", "ascii", "-l", str(PAGE)],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "130", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return re.sub(".\x08", "", result.stdout)


def test_man_shows_it_without_a_warning(shown):
    assert "SMTP server for testing mail clients" in shown
    assert shown.splitlines()[0].split()[0] == "smtpd(n)"


def test_every_option_is_there(shown):
    stock = ["usetls", *TLS_OPTIONS, "banner", "loglevel", *CALLBACK_OPTIONS]
    for name in (*stock, *OWN_OPTIONS):
        assert f"-{name}" in shown, name


def test_every_public_command_and_variable_is_there(tmp_path, shown):
    script = "package require smtpd; foreach c [concat [info procs ::pysmtpd::*]] {puts $c}"
    public = [name for name in run(tmp_path, script).stdout.split() if name.removeprefix("::pysmtpd::")[0].islower()]
    assert public
    names = [
        *public,
        "::smtpd::start",
        "::smtpd::stop",
        "::smtpd::configure",
        "::smtpd::cget",
        "::smtpd::stopped",
        "::smtpd::state",
    ]
    for name in [
        *names,
        "::smtpd::log",
        "::smtpd::commands",
        "::smtpd::extensions",
        "::smtpd::Help",
        "PYSMTPD_PYTHON",
        "PYSMTPD_CALLBACKS",
    ]:
        assert name in shown, name


def test_the_examples_work(tmp_path):
    examples = re.findall(r"\[example \{\n(.*?)\n\}\]", SOURCE.read_text(), re.DOTALL)
    assert len(examples) >= 6
    (tmp_path / "mine.py").write_text("def deliver(sender, recipients, lines):\n    print('mine', lines[-1])\n")
    for name in ("server.pem", "server.key"):
        made = "certfile" if name.endswith("pem") else "keyfile"
        path = subprocess.run(
            [sys.executable, "-c", f"from pysmtpd import certificates; print(certificates.LOCALHOST.{made})"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        shutil.copy(path, tmp_path / name)
    for example in examples:
        complete = example.replace("2525", "0").replace("10000", "100").replace("upvar 1 channel channel\n", "set channel none\n")
        if "vwait" in complete:
            complete = "after 100 {set ::smtpd::stopped 1}\n" + complete
        result = run(tmp_path, f"package require smtpd\n{complete}\nputs done")
        assert (result.returncode, result.stderr, result.stdout.split()[-1:]) == (0, "", ["done"]), example


def test_it_travels_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "man/smtpd.n" in settings["tool"]["setuptools"]["data-files"]["share/man/mann"]
