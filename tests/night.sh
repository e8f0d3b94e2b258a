#!/usr/bin/env bash
# The long proofs, one after the other on one core, for as many hours as are given: simulation, bits flipped at rest, the
# crash matrix of data file and log, fuzzing with and without planted bugs, real processes, old bugs put back in. Prints
# each part's figures, then a summary held against what a night has to reach. Ends with 1 when something was found, or
# when a part did less than it must.
#
#   tests/night.sh HOURS [folder for the output]
#
# Shares of the time: simulation 45 %, flips and crash matrix 10 %, fuzzing 13 %, processes 12 %, mutants the rest. Every
# seed begins where the last night's ended (a number kept in the folder).
set -u
cd "$(dirname "$0")/.." || exit 1
hours=${1:?hours}
output=${2:-$(mktemp -d)}
mkdir -p "$output"
output=$(cd "$output" && pwd)
whole=$(awk -v h="$hours" 'BEGIN { printf "%d", h * 3600 }')
share() { awk -v s="$whole" -v p="$1" 'BEGIN { n = int(s * p / 100); print n < 20 ? 20 : n }'; }
left() { echo $((whole - SECONDS > 20 ? whole - SECONDS : 20)); }
from=$(cat "$output/next-seed" 2>/dev/null || echo 100000)
failed=0
verdicts=()

# run NAME SECONDS LINES COMMAND...: a part that has not ended a while after its time has hung, and that is a failure.
run() {
  local name=$1 seconds=$2 lines=$3
  shift 3
  local began=$SECONDS
  echo "== $name ($seconds s): $*"
  if nice -n 19 timeout -k 30 $((seconds * 3 / 2 + 120)) "$@" >"$output/$name.log" 2>&1; then
    echo "   good, $((SECONDS - began)) s"
  else
    echo "   FAILED, $((SECONDS - began)) s: $output/$name.log"
    failed=1
  fi
  tail -n "$lines" "$output/$name.log" | cut -c1-300 | sed 's/^/   /'
}

# must WHAT NUMBER MINIMUM: a figure of the summary.
must() {
  local verdict="enough"
  if [ "${2:-0}" -lt "$3" ]; then
    verdict="TOO FEW"
    failed=1
  fi
  verdicts+=("$(printf '%-52s %12s  of %-10s %s' "$1" "${2:-0}" "$3" "$verdict")")
}

# Processes get a network of their own where that may be made, so that nobody else's ports are in the way.
apart=()
if unshare -n true 2>/dev/null; then
  apart=(unshare -n sh -c 'ip link set lo up && exec "$@"' sh)
fi

for project in tests/simulation fuzz tests/engine tests/cluster; do
  nice dotnet build "$project" -c Release -v q --nologo -clp:ErrorsOnly || exit 1
done
nice dotnet build tests/simulation -c Mutants -v q --nologo -clp:ErrorsOnly || exit 1

simulation=tests/simulation/bin/Release/net10.0/Perf.Simulation
seconds=$(share 45)
run simulation "$seconds" 42 "$simulation" --seeds 1000000 --from "$from" --seconds "$seconds"
totals=$(grep -aoE '^seed [0-9]+: [0-9]+ runs.*' "$output/simulation.log" | tail -n 1)
ran=$(awk '{ print $3 }' <<<"$totals")
echo $((from + ${ran:-0})) >"$output/next-seed"
must "simulation: seeds an hour" $((${ran:-0} * 3600 / seconds)) 500
must "simulation: answers checked, linearizability among it" "$(grep -oE '[0-9]+ answers checked' <<<"$totals" | cut -d' ' -f1)" \
  "$(awk -v h="$hours" 'BEGIN { printf "%d", (h >= 1 ? 1 : h) * 1000000 }')"

run flips "$(share 3)" 1 "$simulation" --flips "${PERF_FLIPS:-20000}" --from "$from"
must "bits flipped at rest" "$(grep -oE '^[0-9]+ bits' "$output/flips.log" | cut -d' ' -f1)" 20000

export PERF_CRASH_POINTS=${PERF_CRASH_POINTS:-20000} PERF_CRASH_SEED=$from
run crashes "$(share 7)" 12 dotnet test tests/engine -c Release --no-build --nologo --logger 'console;verbosity=detailed' \
  --filter 'FullyQualifiedName~Crash|FullyQualifiedName~Damage|FullyQualifiedName~Hostile|FullyQualifiedName~LostWrite'
must "crash points" "$(grep -aoE 'crash matrix.*: [0-9]+ points' "$output/crashes.log" | awk '{ n += $(NF - 1) } END { print n + 0 }')" 20000

run fuzz "$(share 12)" 24 fuzz/bin/Release/net10.0/Perf.Fuzz smoke --seconds "$(share 12)" --seed "$from"
must "fuzz: executions" "$(grep -oE '[0-9]+ executions' "$output/fuzz.log" | tail -n 1 | cut -d' ' -f1)" 5000000
must "fuzz: targets" "$(grep -oE '^[0-9]+ targets' "$output/fuzz.log" | cut -d' ' -f1)" 12
must "fuzz: % of the inputs past the first check" "$(grep -oE '[0-9]+ % past' "$output/fuzz.log" | tail -n 1 | cut -d' ' -f1)" 30
run canary "$(share 1)" 24 bash -c '! fuzz/bin/Release/net10.0/Perf.Fuzz canary --seconds 60'

export PERF_LINEARIZABLE_OPERATIONS=20000
run processes "$(share 12)" 40 "${apart[@]}" dotnet test tests/cluster -c Release --no-build --nologo \
  --logger 'console;verbosity=detailed' \
  --filter 'FullyQualifiedName~LinearizabilityTests|FullyQualifiedName~KillTests|FullyQualifiedName~FullDisk|FullyQualifiedName~PowerLoss|FullyQualifiedName~SyncFailure'
must "processes: operations checked for linearizability" \
  "$(grep -aoE '[0-9]+ operations checked' "$output/processes.log" | awk '{ n += $1 } END { print n + 0 }')" 20000

run mutants "$(left)" 40 tests/mutants/run.sh --within "$(left)" 120
must "mutants caught" "$(grep -acE ' (simulation|engine) ' "$output/mutants.log")" 25

echo "== summary: $hours h, $SECONDS s, seeds from $from to $((from + ${ran:-0} - 1))"
echo "   $totals" | cut -c1-300
printf '   %s\n' "${verdicts[@]}"
[ $failed -eq 0 ] && echo "   nothing was found" || echo "   FAILED"
exit $failed
