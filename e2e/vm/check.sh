# Sourced by the specs. `check NAME COMMAND…` prints `ok NAME`, or `not ok NAME` and what the command wrote.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then echo "ok $name"; else
    echo "not ok $name"
    printf '%s\n' "$output" | tail -20 | sed 's/^/#   /'
  fi
}

# `gives WANTED COMMAND…`: succeeds where the command writes just that.
gives() {
  local wanted=$1 got
  shift
  got=$("$@" 2>&1)
  [ "$got" = "$wanted" ] && return
  printf 'wanted: %s\ngot: %s\n' "$wanted" "$got"
  return 1
}

# `ends CODE COMMAND…`
ends() {
  local wanted=$1 got=0
  shift
  "$@" || got=$?
  [ "$got" = "$wanted" ] || { echo "ended with $got, not $wanted"; return 1; }
}

# `soon COMMAND…`: tries for two minutes. An emulated processor takes its time.
soon() {
  local end=$((SECONDS + 120))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { "$@"; return; }
    sleep 0.2
  done
}
