#!/bin/sh
# Sets up the servers that the benchmark measures beside ours, each from its own registry, into one folder.
#
# usage: PYTHON=python3 sh tools/peers.sh FOLDER
#
# What cannot be had is said, and left out of the benchmark. tcllib's smtpd is set up by tools/setup.sh already.
set -u

folder=$1
python=${PYTHON:-python3}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

without() {
    echo "peers: without $1: $2" >&2
}

# debian PACKAGE...: install packages, as root on Debian.
debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

# The certificate for handshakes: an EC key, in one file with it.
certificate() {
    command -v openssl >/dev/null || debian openssl || return 1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
        -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
}

aiosmtpd_and_smtpdfix() {
    [ -x "$folder/python/bin/python" ] || "$python" -m venv "$folder/python"
    "$folder/python/bin/python" -m pip install -q --disable-pip-version-check 'aiosmtpd==1.4.6' 'smtpdfix==0.5.3'
}

smtp_server() {
    command -v npm >/dev/null || debian npm || return 1
    npm install --silent --no-audit --no-fund --prefix "$folder/node" smtp-server@3
}

# The package is unpacked, not installed: it would start a mail server. The libraries it names are.
smtp_sink() {
    [ -x "$folder/postfix/usr/sbin/smtp-sink" ] && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    (
        cd "$folder" && apt-get download -qq postfix 2>/dev/null || exit 1
        # shellcheck disable=SC2046 # a list of package names
        debian $(dpkg -f postfix_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p')
        dpkg -x postfix_*.deb postfix && rm -f postfix_*.deb
    )
}

[ -f "$folder/cert.pem" ] || certificate || without 'TLS figures' 'no openssl here'
aiosmtpd_and_smtpdfix || without 'aiosmtpd and smtpdfix' 'pip could not install them'
smtp_server || without "nodemailer's smtp-server" 'npm is missing or could not install it'
smtp_sink || without "Postfix's smtp-sink" 'the Debian package could not be had'
touch "$folder/ready"
