#!/bin/sh
# Puts a tclsh of Tcl 9 into a folder, for the tests: FOLDER/tclsh9.
#
# usage: sh tools/tcl9.sh .tcl9
#
# One that is installed is used; else Debian's package, installed where the release has it and one may. An older Debian gets it
# from the next release, into the folder, together with the C library that it needs: the system stays as it is.
set -eu

folder=$1
release=trixie
[ -x "$folder/tclsh9" ] && exit 0
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# use PROGRAM: have FOLDER/tclsh9 run it.
use() {
    ln -sf "$1" "$folder/tclsh9"
    echo "tcl9: $1"
    exit 0
}

found() {
    command -v tclsh9.1 || command -v tclsh9.0
}

# apt COMMAND ...: an apt tool that knows the newer release alone, and keeps what it knows in the folder.
apt_of_release() {
    command=$1
    shift
    "$command" -qq -o Dir::Etc::sourcelist="$folder/apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent \
        -o Dir::State::lists="$folder/apt/lists" -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

program=$(found) && use "$program"
command -v apt-get >/dev/null || { echo "tcl9: no Tcl 9, and no apt-get to get it with" >&2; exit 1; }
if [ "$(id -u)" = 0 ] && [ -n "$(apt-cache search --names-only '^tcl9\.0$')" ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tcl9.0 >/dev/null
    program=$(found) && use "$program"
fi

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "tcl9: apt names no mirror" >&2; exit 1; }
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/packages"
: >"$folder/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$folder/apt/sources.list"
apt_of_release apt-get update
(cd "$folder/packages" && apt_of_release apt-get download tcl9.0 libtcl9.0 libtommath1 zlib1g libc6)
for package in "$folder"/packages/*.deb; do
    dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$folder/apt" "$folder/packages"
library=$(dirname "$(find "$folder/root/usr/lib" -name 'libtcl9.0.so' | head -n 1)")
loader=$(find "$library" -name 'ld-linux*' | head -n 1)
cat >"$folder/tclsh9" <<WRAPPER
#!/bin/sh
# Runs with the C library beside it; what it starts itself does not.
TCL9_0_TM_PATH='$folder/root/usr/lib/tcl9.0/tcl9' exec '$loader' --library-path '$library' '$folder/root/usr/bin/tclsh9.0' "\$@"
WRAPPER
chmod +x "$folder/tclsh9"
echo 'exit [catch {package require Tcl 9; clock format 0}]' | "$folder/tclsh9" || { rm "$folder/tclsh9"; exit 1; }
echo "tcl9: $folder/tclsh9, of Debian $release"
