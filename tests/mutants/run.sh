#!/usr/bin/env bash
# Puts old bugs of others back in, one at a time (README.md), and lets the general suites look for them: first the
# simulation, from seed 1, then the crash and damage tests of the engine. Prints what caught which, at which seed and
# after how long; ends with 1 when one was not caught.
#
#   tests/mutants/run.sh [--within SECONDS] [seconds a mutant] [name ...]
#
# With --within it stops when that time is over, and says which were not tried.
set -u
cd "$(dirname "$0")/../.." || exit 1
within=1000000000
if [ "${1:-}" = --within ]; then
  within=$2
  shift 2
fi
seconds=${1:-120}
shift || true
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  mapfile -t names < <(grep -rhoE 'Mutant\.Is\("[^"]+"\)' engine raft server --include=*.cs | cut -d'"' -f2 | sort -u)
fi

for project in tests/simulation tests/engine; do
  dotnet build $project -c Mutants -v q --nologo -clp:ErrorsOnly || exit 1
done
simulation=tests/simulation/bin/Mutants/net10.0/Perf.Simulation
missed=0
untried=0
for name in "${names[@]}"; do
  if [ "$SECONDS" -ge "$within" ]; then
    printf '%-40s not tried: no time left\n' "$name"
    untried=$((untried + 1))
    continue
  fi

  began=$(date +%s%N)
  output=$(PERF_MUTANT=$name timeout $((seconds + 60)) "$simulation" --seeds 100000 --seconds "$seconds" --stop 2>&1 | tr -d '\0')
  took=$((($(date +%s%N) - began) / 1000000))
  found=$(grep -aE '^seed [0-9]+: [^0-9]' <<<"$output" | tail -n 1 | cut -c1-150)
  if [ -n "$found" ]; then
    printf '%-40s simulation  %5d.%03d s  %s\n' "$name" $((took / 1000)) $((took % 1000)) "$found"
    continue
  fi

  output=$(PERF_MUTANT=$name timeout 300 dotnet test tests/engine -c Mutants --no-build --nologo -v q \
    --filter 'FullyQualifiedName~Crash|FullyQualifiedName~Damage|FullyQualifiedName~Hostile|FullyQualifiedName~Model' 2>&1)
  took=$((($(date +%s%N) - began) / 1000000))
  found=$(grep -aoE '[A-Za-z.]+Tests\.[A-Za-z0-9_]+' <<<"$(grep -a 'FAIL' <<<"$output")" | head -n 1)
  if [ -n "$found" ]; then
    printf '%-40s engine      %5d.%03d s  %s\n' "$name" $((took / 1000)) $((took % 1000)) "$found"
  else
    printf '%-40s NOT CAUGHT  %5d.%03d s\n' "$name" $((took / 1000)) $((took % 1000))
    missed=$((missed + 1))
  fi
done

echo "${#names[@]} mutants, $missed not caught, $untried not tried"
[ "$missed" -eq 0 ]
