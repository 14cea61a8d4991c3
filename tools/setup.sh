#!/bin/sh
# Sets up a checkout: Debian packages where one may install them, a virtual environment, the tools the tests use.
#
# usage: PYTHON=python3 sh tools/setup.sh .venv
#
# As root on Debian, missing packages are installed; otherwise this says which ones to install, and stops.
set -eu

venv=$1
python=${PYTHON:-python3}
missing=""

# need PACKAGE COMMAND...: note PACKAGE unless COMMAND succeeds.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# tcl_has PACKAGE: whether the stock tclsh can load a Tcl package.
tcl_has() {
    echo "exit [catch {package require $1}]" | tclsh
}

# git_can COMMAND: whether git has a command that is packaged apart.
git_can() {
    [ -x "$(git --exec-path)/git-$1" ]
}

look() {
    missing=""
    need tcl command -v tclsh
    need tk command -v wish
    need tcllib tcl_has smtpd
    need tcl-thread tcl_has Thread
    need tcl-tls tcl_has tls
    need openssl command -v openssl
    need netbase test -e /etc/protocols # without which swaks does not know tcp
    need swaks command -v swaks
    need curl command -v curl
    need msmtp command -v msmtp
    need s-nail command -v s-nail
    need git-email git_can send-email
    need libmailtools-perl perl -MMail::Address -e 1 # git send-email's, as are the next two
    need libio-socket-ssl-perl perl -MIO::Socket::SSL -e 1
    need libauthen-sasl-perl perl -MAuthen::SASL -e 1
    need npm command -v npm
    need xvfb command -v Xvfb
    need man-db command -v man
    need python3 command -v "$python"
    need python3-venv "$python" -c 'import ensurepip, venv'
    need python3-tk "$python" -c 'import tkinter'
}

look
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing$missing"
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    look
fi
if [ -n "$missing" ]; then
    echo "setup: missing:$missing" >&2
    echo "setup: install them (on Debian: apt-get install$missing), or name another Python: make PYTHON=/path/to/python3" >&2
    exit 1
fi
"$python" - <<'PYTHON' || exit 1
import sys

if sys.version_info < (3, 11):
    sys.exit(f"setup: {sys.executable} is Python {sys.version.split()[0]}; 3.11 or later is needed: make PYTHON=/path/to/python3")
PYTHON

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# By a line in a .pth file: the other way, a finder, adds 15 ms to every start of Python, and so to the servers that are measured.
in_place="--config-settings=editable_mode=compat"
"$venv/bin/python" -m pip install -q --disable-pip-version-check $in_place -e '.[test]'
sh tools/clients.sh .clients
sh tools/tcl9.sh .tcl9 || echo "setup: without Tcl 9: what is tested in it is skipped" >&2
"$venv/bin/python" -m pip install -q --disable-pip-version-check $in_place -e '.[fuzz]' || echo "setup: without atheris, the coverage-guided fuzzer" >&2
# In an environment of its own: it pins versions that others of the tools cannot live with.
[ -x "$venv/tclint/bin/python" ] || "$python" -m venv "$venv/tclint"
"$venv/tclint/bin/python" -m pip install -q --disable-pip-version-check 'tclint>=0.9,<1'
# The Python child of a tclsh starts faster from compiled files, wherever the environment forbids writing them later.
"$venv/bin/python" -m compileall -q pysmtpd
touch "$venv/ready"
echo "setup: done"
