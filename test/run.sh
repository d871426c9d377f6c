#!/bin/bash
# All tests: those in memory beside those between hosts, which wait more than they work, and only when the machine has
# nothing else to do, so that the others are not held up. What failed is said last.
set -u
memory_log=$(mktemp)
system_log=$(mktemp)
trap 'kill $memory 2>/dev/null; rm -f "$memory_log" "$system_log"' EXIT
chrt --idle 0 ava >"$memory_log" 2>&1 &
memory=$!
ava --config ava.system.config.js 2>&1 | tee "$system_log"
system=${PIPESTATUS[0]}
wait "$memory"
code=$?
echo
echo "== tests in memory: $([ "$code" = 0 ] && echo passed || echo failed)"
if [ "$code" = 0 ]; then tail -n 2 "$memory_log"; else grep -vE '^ *✔' "$memory_log" | tail -n 150; fi
echo
echo "== tests between hosts: $([ "$system" = 0 ] && echo passed || echo failed)"
if [ "$system" = 0 ]; then tail -n 2 "$system_log"; else grep -vE '^ *✔' "$system_log" | tail -n 60; fi
exit $((system > code ? system : code))
