#!/bin/bash
# docs/cluster/two-hosts.sh HOST --grid quick
#
# Ray on this machine and, by ssh, on HOST, where the same environment lies at the same path; then `kdbench run` here.
set -euo pipefail
other=${1:?name the other host}
shift
bin=$(dirname "$(command -v kdbench)")
here=$(hostname -I | awk '{ print $1 }')
export RAY_USAGE_STATS_ENABLED=0
# A machine that does not answer for a second is gone, and what it trained goes on elsewhere (docs/many-machines.md).
export RAY_health_check_initial_delay_ms=1000 RAY_health_check_period_ms=200
export RAY_health_check_timeout_ms=300 RAY_health_check_failure_threshold=2
trap '"$bin/ray" stop; ssh "$other" "$bin/ray stop"' EXIT
"$bin/ray" start --head --node-ip-address="$here" --port=6379 --include-dashboard=false
ssh "$other" "RAY_USAGE_STATS_ENABLED=0 $bin/ray start --address=$here:6379"
kdbench run --executor ray --address "$here:6379" "$@"
