#!/bin/sh
# Finds a Node that is new enough: no dependency of the package, as Debian 12 has none.
for node in "${ISTHMUS_NODE:-}" /usr/bin/node /usr/local/bin/node /opt/node/bin/node; do
  [ -x "$node" ] || continue
  if "$node" -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'; then
    # Without it V8 tidies the heap of a quiet gateway at once, 10 to 45 ms in which the control plane stands still.
    exec "$node" --no-memory-reducer MAIN "$@"
  fi
  echo "isthmus: $node is Node $("$node" --version), too old; wants 20.19 or later" >&2
done
echo "isthmus: no Node.js 20.19 or later in /usr/bin, /usr/local/bin or /opt/node/bin, and ISTHMUS_NODE names none:" >&2
echo "isthmus: see /usr/share/doc/isthmus/install.md" >&2
exit 69
