#!/bin/bash
# fetch-wireguard-go.sh DIR: puts Debian's newest wireguard-go at DIR/wireguard-go, without installing it.
# The one in Debian 12 is of 2022, before segmentation offload: no measure of what a user's other end does today.
set -euo pipefail
directory=${1:?usage: fetch-wireguard-go.sh DIR}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

. /etc/os-release
# The mirror is the one this machine takes its own Debian from; component `main` leaves out other vendors' repositories.
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 'Component: main' |
  awk -v release="$VERSION_CODENAME" '$1 == release && $2 ~ /debian\/?$/ { print $2; exit }')
[[ $mirror ]] || { echo "fetch-wireguard-go: no Debian mirror among apt's sources" >&2; exit 69; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/sources "$work"/lists/partial "$work"/cache/archives/partial
cat >"$work/sources/sid.sources" <<END
Types: deb
URIs: $mirror
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
apt=(apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources"
  -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
cd "$work"
"${apt[@]}" download wireguard-go
dpkg -x wireguard-go_*.deb tree
install -m 755 tree/usr/bin/wireguard-go "$directory/wireguard-go"
