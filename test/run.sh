#!/bin/bash
# All tests: those in memory beside those between hosts, which wait more than they work. Prints what the former said last.
set -u
log=$(mktemp)
trap 'kill $memory 2>/dev/null; rm -f "$log"' EXIT
ava >"$log" 2>&1 &
memory=$!
ava --config ava.system.config.js
system=$?
wait "$memory"
code=$?
cat "$log"
exit $((system > code ? system : code))
