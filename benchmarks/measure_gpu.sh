#!/usr/bin/env bash
# A whole measurement on one GPU, from a source tree and without a network: docs/gpu.md. --help lists the options.
cd "$(dirname "$0")/.." || exit 2
exec python3 -m benchmarks.measure "$@"
