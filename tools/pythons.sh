#!/bin/sh
# Runs the tests on every Python from 3.11 on that is found beside the one the checkout is set up with.
#
# usage: sh tools/pythons.sh .venvs .venv/bin/python [ARGUMENTS OF PYTEST]
#
# Looked for: python3.N on PATH, and pyenv's versions. Each gets an environment of its own, with uvloop. Without any other Python
# this says so, and succeeds.
set -eu

folder=$1
ours=$2
shift 2
version='import sys; print("%d.%d" % sys.version_info[:2])'
done_already=" $("$ours" -c "$version") "
found=0

for candidate in python3.11 python3.12 python3.13 python3.14 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    name=$("$candidate" -c "$version" 2>/dev/null) || continue
    case $name in 3.1[1-9]) ;; *) continue ;; esac
    case $done_already in *" $name "*) continue ;; esac
    done_already="$done_already$name "
    found=$((found + 1))
    echo "pythons: $name ($candidate)"
    [ -x "$folder/$name/bin/python" ] || "$candidate" -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip install -q --disable-pip-version-check -e '.[test]'
    "$folder/$name/bin/python" -m pytest -q -n auto -p no:cacheprovider "$@"
done
[ "$found" -gt 0 ] || echo "pythons: none but $("$ours" -c "$version") here"
