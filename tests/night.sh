#!/usr/bin/env bash
# The long proofs, one after the other on one core, for as many hours as are given: simulation, the crash and damage
# matrices of engine and log, fuzzing, real processes, old bugs put back in. Ends with 1 when something was found.
#
#   tests/night.sh HOURS [folder for the output]
#
# Shares of the time: simulation 55 %, fuzzing 20 %, matrices and bit flips 10 %, processes 10 %, mutants 5 %; each
# part is bounded in count as well. Every seed begins where the last night's ended (a number kept in the folder).
set -u
cd "$(dirname "$0")/.." || exit 1
hours=${1:?hours}
output=${2:-$(mktemp -d)}
mkdir -p "$output"
minutes=$(awk -v h="$hours" 'BEGIN { printf "%d", h * 60 }')
share() { awk -v m="$minutes" -v p="$1" 'BEGIN { s = int(m * p / 100); print s < 1 ? 1 : s }'; }
from=$(cat "$output/next-seed" 2>/dev/null || echo 100000)
failed=0
run() {
  local name=$1
  shift
  local began=$SECONDS
  echo "== $name: $*"
  if nice -n 19 "$@" >"$output/$name.log" 2>&1; then
    echo "   good, $((SECONDS - began)) s"
  else
    echo "   FAILED, $((SECONDS - began)) s: $output/$name.log"
    failed=1
  fi
  tail -n "${lines:-3}" "$output/$name.log" | cut -c1-400 | sed 's/^/   /'
}

for project in tests/simulation fuzz tests/engine tests/raft tests/cluster; do
  dotnet build "$project" -c Release -v q --nologo -clp:ErrorsOnly || exit 1
done

simulation=tests/simulation/bin/Release/net10.0/Perf.Simulation
lines=60 run simulation "$simulation" --seeds 1000000 --from "$from" --minutes "$(share 55)"
ran=$(grep -aoE '^seed [0-9]+: [0-9]+ runs' "$output/simulation.log" | tail -n 1 | awk '{ print $3 }')
echo $((from + ${ran:-0})) >"$output/next-seed"
run bit-flips "$simulation" --flips 20000 --from "$from"
PERF_CRASH_ROUNDS=$(($(share 8) / 2 + 1)) run crashes dotnet test tests/engine -c Release --no-build --nologo \
  --filter 'FullyQualifiedName~Crash|FullyQualifiedName~Damage|FullyQualifiedName~Hostile|FullyQualifiedName~LostWrite'
lines=25 run fuzz fuzz/bin/Release/net10.0/Perf.Fuzz smoke --seconds $((60 * $(share 20))) --seed "$from"
lines=25 run fuzz-canary bash -c '! fuzz/bin/Release/net10.0/Perf.Fuzz canary --seconds 60'
PERF_LINEARIZABLE_OPERATIONS=20000 run processes dotnet test tests/cluster -c Release --no-build --nologo \
  --logger 'console;verbosity=detailed' --filter 'FullyQualifiedName~Linearizability'
lines=40 run mutants tests/mutants/run.sh "$((60 * $(share 5) / 20 + 60))"
exit $failed
