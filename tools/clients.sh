#!/bin/sh
# Fetches the mail clients that the tests use and that are no Debian package one would want to install.
#
# usage: sh tools/clients.sh .clients
#
# nodemailer comes from npm. Postfix's smtp-source is in the Debian package postfix, which is unpacked, not installed: it would
# start a mail server and ask questions. As root, the libraries that it needs are installed.
set -eu

folder=$1
mkdir -p "$folder"

[ -d "$folder/node_modules/nodemailer" ] ||
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder" 'nodemailer@>=6 <12'

smtp_source_runs() {
    LD_LIBRARY_PATH="$folder/postfix/usr/lib/postfix" "$folder/postfix/usr/sbin/smtp-source" 2>&1 | grep -q usage:
}

fetch_postfix() (
    cd "$folder"
    apt-get download -qq postfix 2>/dev/null || { apt-get update -qq && apt-get download -qq postfix; }
    dpkg -x postfix_*.deb postfix
    libraries=$(dpkg -f postfix_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p')
    rm -f postfix_*.deb
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086 # a list of package names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $libraries >/dev/null
    fi
)

smtp_source_runs || fetch_postfix
smtp_source_runs || {
    echo "clients: Postfix's smtp-source does not run in $folder/postfix: the libraries of Debian's package postfix are missing" >&2
    exit 1
}
