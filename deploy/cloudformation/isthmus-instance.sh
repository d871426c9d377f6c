#!/bin/bash
# What an instance of the templates does on itself. cfn-init writes this file and the settings beside it, and calls it at
# the first boot and after each update of the stack; systemd calls it before each start of the gateway.
#
#   isthmus-instance apply    install the pinned package, close the host, start or reload the gateway, wait until it is up
#   isthmus-instance psk      fetch the PSK from Secrets Manager into memory
set -euo pipefail
# The gateway runs as a user of its own, which reads what is installed here.
umask 022

# PACKAGE_BUCKET, PACKAGE_KEY, PACKAGE_SHA256, PSK_SECRET_ARN, LISTEN_PORT, SSH_LOCATION
# shellcheck source=/dev/null
. "${ISTHMUS_SETTINGS:-/etc/isthmus/instance.env}"

readonly ROOT=${ISTHMUS_ROOT:-}
readonly CONFIG=$ROOT/etc/isthmus/gateway.yaml
readonly HOME_FOLDER=$ROOT/usr/lib/isthmus
readonly PSK_FOLDER=$ROOT/run/isthmus-psk
# The unit of the package runs the gateway of /etc/isthmus/gateway.yaml by this name, as a user of its own.
readonly UNIT=isthmus@gateway
readonly OWNER=isthmus
readonly SECONDS_TO_START=120

# The first boot hands the reason on to the stack's events.
fail() {
  echo "isthmus-instance: $1" >&2
  echo "$1" >"$ROOT/run/isthmus-failure"
  exit 1
}

# Nothing of the tarball is unpacked before its digest is known to be the one that the stack was given. The file .new
# stays until a gateway of it was started.
install_package() {
  local folder
  if [ -e "$HOME_FOLDER/.sha256" ] && [ "$(cat "$HOME_FOLDER/.sha256")" = "$PACKAGE_SHA256" ]; then return; fi
  folder=$(mktemp -d)
  aws s3 cp --only-show-errors "s3://$PACKAGE_BUCKET/$PACKAGE_KEY" "$folder/isthmus.tar.gz" ||
    fail "s3://$PACKAGE_BUCKET/$PACKAGE_KEY can't be fetched: see the bucket's policy, and the subnet's way to S3"
  echo "$PACKAGE_SHA256  $folder/isthmus.tar.gz" | sha256sum --check --status ||
    fail "s3://$PACKAGE_BUCKET/$PACKAGE_KEY has another SHA-256 than PackageSha256 says; nothing was installed"
  rm -rf "$HOME_FOLDER.new" "$HOME_FOLDER.old"
  mkdir -p "$HOME_FOLDER.new" "$ROOT/usr/bin"
  tar --extract --gzip --no-same-owner --strip-components=1 --file "$folder/isthmus.tar.gz" --directory "$HOME_FOLDER.new" ||
    fail "s3://$PACKAGE_BUCKET/$PACKAGE_KEY is no gzipped tar archive"
  rm -r "$folder"
  echo "$PACKAGE_SHA256" >"$HOME_FOLDER.new/.sha256"
  touch "$HOME_FOLDER.new/.new"
  if [ -e "$HOME_FOLDER" ]; then mv "$HOME_FOLDER" "$HOME_FOLDER.old"; fi
  mv "$HOME_FOLDER.new" "$HOME_FOLDER"
  ln -sfn "$HOME_FOLDER/dist/src/cli/main.js" "$ROOT/usr/bin/isthmus"
  install -D --mode=644 --target-directory="$ROOT/etc/systemd/system" "$HOME_FOLDER/deploy/systemd/isthmus@.service"
  id "$OWNER" >/dev/null 2>&1 || useradd --system --no-create-home --user-group --shell /sbin/nologin "$OWNER"
}

# The security group lets the VPC's own hosts send anything, as it is to be forwarded. What is addressed to the gateway
# itself is judged here. Without connection tracking, which would hold a state for every forwarded flow as well.
close_host() {
  local ssh=""
  if [ -n "$SSH_LOCATION" ]; then ssh="ip saddr $SSH_LOCATION tcp dport 22 accept"; fi
  cat >"$ROOT/etc/isthmus/host.nft" <<END
table inet isthmus_host
delete table inet isthmus_host
table inet isthmus_host {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    meta l4proto { 1, 58 } accept comment "ICMP, and that of IPv6: not every host knows them by name"
    udp dport $LISTEN_PORT accept
    udp sport { 53, 67, 123, 547 } accept comment "answers: DNS, DHCP, NTP"
    $ssh
    tcp flags & (fin | syn | rst | ack) != syn accept comment "connections that began here, and SSH's"
  }
}
END
  systemctl enable isthmus-firewall
  systemctl restart isthmus-firewall
  if [ -n "$SSH_LOCATION" ]; then systemctl enable --now sshd; else systemctl disable --now sshd; fi
}

# The secret may be in another region: its ARN says in which. Where it can't be had, a restart uses the one in memory.
fetch_psk() {
  local region
  region=$(cut -d: -f4 <<<"$PSK_SECRET_ARN")
  if (
    umask 077
    mkdir -p "$PSK_FOLDER"
    aws secretsmanager get-secret-value --region "$region" --secret-id "$PSK_SECRET_ARN" \
      --query SecretString --output text >"$PSK_FOLDER/peer.psk.new"
  ) && [ -s "$PSK_FOLDER/peer.psk.new" ]; then
    chown --recursive "$OWNER:" "$PSK_FOLDER"
    mv "$PSK_FOLDER/peer.psk.new" "$PSK_FOLDER/peer.psk"
  elif [ -s "$PSK_FOLDER/peer.psk" ]; then
    echo "isthmus-instance: $PSK_SECRET_ARN can't be read now; the PSK fetched before is used" >&2
  else
    fail "$PSK_SECRET_ARN can't be read: see the role's policy, and the subnet's way to Secrets Manager"
  fi
}

# A stack that is rolled back takes the instance and its journal with it, so the last of it goes into the reason.
not_up() {
  fail "the gateway does not start: $(journalctl --unit "$UNIT" --lines 4 --output cat | tr '\n' ' ')"
}

wait_until_up() {
  local end=$((SECONDS + SECONDS_TO_START))
  until isthmus status >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then not_up; fi
    sleep 1
  done
}

apply() {
  install_package
  systemctl daemon-reload
  close_host
  fetch_psk
  isthmus check "$CONFIG" || fail "the configuration is refused, the gateway was left as it is"
  if [ ! -e "$HOME_FOLDER/.new" ] && systemctl is-active --quiet $UNIT; then
    isthmus reload
  else
    systemctl enable $UNIT
    systemctl restart $UNIT || not_up
    rm -f "$HOME_FOLDER/.new"
  fi
  wait_until_up
}

case "${1:-}" in
apply) apply ;;
psk) fetch_psk ;;
*) fail "wants apply or psk" ;;
esac
