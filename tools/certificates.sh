#!/bin/sh
# Makes the test certificates in pysmtpd/certificates anew: an authority, and leaves that are good or bad in one way each.
#
# usage: sh tools/certificates.sh
#
# Needs the command openssl (3.0 or later). The keys are public, and the authority signs nothing but these: whoever trusts it
# outside of a test can be lied to by anybody.
set -eu

folder=$(cd "$(dirname "$0")/.." && pwd)/pysmtpd/certificates
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

begin=20200101000000Z
end=21200101000000Z

cat >settings <<'SETTINGS'
[req]
distinguished_name = name
[name]
[ca]
default_ca = authority
[authority]
dir = .
database = ./index
serial = ./serial
new_certs_dir = .
default_md = sha256
policy = policy
unique_subject = no
[policy]
organizationName = optional
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
SETTINGS
: >index
echo 1000 >serial

# key NAME: an elliptic-curve key; a handshake with one costs half of one with RSA.
key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# leaf NAME COMMON-NAME BEGIN END USAGE ALTERNATIVE-NAMES [OPTION...]: a certificate and its key.
leaf() {
    leaf=$1 common=$2 from=$3 until=$4 usage=$5 names=$6
    shift 6
    key "$leaf"
    openssl req -new -config settings -key "$leaf.key" -subj "/O=pysmtpd test/CN=$common" -out "$leaf.request"
    cat >extensions <<EXTENSIONS
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $usage
subjectAltName = $names
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EXTENSIONS
    openssl ca -batch -notext -config settings -extfile extensions -startdate "$from" -enddate "$until" \
        -in "$leaf.request" -out "$leaf.pem" "$@" 2>log || { cat log >&2; exit 1; }
    install -m 644 "$leaf.pem" "$leaf.key" "$folder"
}

key ca
openssl req -new -config settings -key ca.key -subj "/O=pysmtpd test/CN=pysmtpd test authority" -out ca.request
openssl ca -batch -notext -config settings -selfsign -extensions root -startdate "$begin" -enddate "$end" \
    -keyfile ca.key -in ca.request -out ca.pem 2>log || { cat log >&2; exit 1; }
install -m 644 ca.pem "$folder"

here="DNS:localhost, IP:127.0.0.1, IP:::1"
signed="-cert ca.pem -keyfile ca.key"
# shellcheck disable=SC2086 # a list of options
{
    leaf localhost localhost "$begin" "$end" serverAuth "$here" $signed
    leaf expired localhost "$begin" 20200201000000Z serverAuth "$here" $signed
    leaf wrong-host elsewhere.example "$begin" "$end" serverAuth "DNS:elsewhere.example" $signed
    leaf client "pysmtpd test client" "$begin" "$end" clientAuth "email:client@localhost" $signed
}
leaf self-signed localhost "$begin" "$end" serverAuth "$here" -selfsign -keyfile self-signed.key
