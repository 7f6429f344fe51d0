#!/usr/bin/env bash
# A whole measurement on one GPU, from a source tree and without a network. docs/gpu.md says what each stage gives.
# Given again with the same --work, it goes on: a stage that is done is skipped, training goes on where it was.
set -uo pipefail

usage() {
    cat <<'TEXT'
usage: benchmarks/measure_gpu.sh [option value]...
  --stages LIST      checks,kernels,train,grid,switches (all, in this order)
  --limit STAGE=SEC  most seconds of a stage; may be repeated (checks 600, kernels 300, train 600, grid 28800, switches 7200)
  --device NAME      cuda; cpu shows that the script works, and measures nothing about a GPU
  --dataset SPEC     data set of the training stages, such as parquet:DIR (cifar100)
  --set KEY=VALUE    recipe of the training stages; may be repeated (60 epochs, drops after 37, 45, 52: the recipe crd60)
  --plan FILE        what the training stages train (benchmarks/measure_plan.txt)
  --wheels DIR       wheels of packages that this Python lacks (.whl)
  --commit NAME      what the tree was made from, where it is no git checkout
  --work DIR         records, checkpoints, weights and logs (results/runs/measure)
  --output DIR       where the packed results go, three files (results/runs/measured)
Paths are those seen from the root of the source tree.
TEXT
}

fail() {
    echo "measure_gpu.sh: $1" >&2
    exit 2
}

cd "$(dirname "$0")/.." || exit 2
stages=checks,kernels,train,grid,switches
device=cuda dataset=cifar100 plan=benchmarks/measure_plan.txt wheels=.whl
work=results/runs/measure output=results/runs/measured
commit=$(git rev-parse HEAD 2>/dev/null || echo 'not a checkout')
settings=()
declare -A limits=([checks]=600 [kernels]=300 [train]=600 [grid]=28800 [switches]=7200)
command="$0 $*"
while (($#)); do
    [[ $1 == --help ]] && usage && exit 0
    (($# > 1)) || fail "$1 needs a value; --help lists the options."
    case $1 in
        --stages) stages=$2 ;;
        --limit) [[ -v limits[${2%%=*}] && $2 =~ =[0-9]+$ ]] || fail "--limit takes STAGE=SECONDS, not '$2'."
            limits[${2%%=*}]=${2#*=} ;;
        --device) device=$2 ;;
        --dataset) dataset=$2 ;;
        --set) settings+=(--set "$2") ;;
        --plan) plan=$2 ;;
        --wheels) wheels=$2 ;;
        --commit) commit=$2 ;;
        --work) work=$2 ;;
        --output) output=$2 ;;
        *) fail "unknown option '$1'; --help lists the options." ;;
    esac
    shift 2
done
for stage in ${stages//,/ }; do
    [[ -v limits[$stage] ]] || fail "unknown stage '$stage'; there are checks, kernels, train, grid and switches."
done
[[ -r $plan ]] || fail "the plan $plan cannot be read."
((${#settings[@]})) || settings=(--set recipe.epochs=60 --set "recipe.milestones=[36,44,51]")
options=(--dataset "$dataset" --results "$work/results" "${settings[@]}")
mkdir -p "$work"/{bench,done,logs,report,results/records} "$output" || exit 2
work=$(realpath "$work") output=$(realpath "$output")

install() {
    local found="from importlib.util import find_spec; print(find_spec('kdbench_methods').origin)"
    [[ $(python3 -c "$found" 2>/dev/null) == "$PWD"/* ]] && return
    # Into a folder rather than a virtual environment: made from within another one, it would not see that one's packages.
    local site=$work/site missing=("$wheels"/*.whl)
    rm -rf "$site"
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PATH=$site/bin:$PATH
    if [[ -e ${missing[0]} ]]; then
        python3 -m pip install --quiet --no-index --no-deps --target "$site" "${missing[@]}" || return 1
    fi
    python3 -m pip install --quiet --no-index --no-deps --no-build-isolation --target "$site" --upgrade . || return 1
}

# try STAGE WORDS…: within what is left of the stage's time; a failure is noted, and the next command has its turn.
try() {
    local stage=$1 left code
    shift
    left=$((limits[$stage] - (SECONDS - began)))
    echo "\$ $* (${left} s left)" >&2
    ((left > 0)) || return 124
    timeout --kill-after=60 "$left" "$@"
    code=$?
    echo "exit code $code" >&2
    return $code
}

checks() {
    local code=0
    try checks python3 -m pytest -q -m gpu tests || code=$?
    try checks python3 -m pytest -q tests/losses || code=$?
    try checks kdbench verify --device "$device" --pairs resnet32x4:resnet8x4 || code=$?
    return $code
}

kernels() {
    rm -f "$work/bench/kernels.json"
    try kernels kdbench bench kernels --device "$device" --save "$work/bench/kernels.json"
}

train() {
    local code=0 precision table1=kd,fitnet,at,vid,dsn,byot,dks,dskd
    for precision in bf16 fp32; do
        try train kdbench bench train --pair resnet32x4:resnet8x4 --methods $table1 --device "$device" \
            --dataset "$dataset" --precision $precision --json >"$work/bench/train-$precision.part" || code=$?
        if [[ -s $work/bench/train-$precision.part ]]; then
            mv "$work/bench/train-$precision".{part,json}
        else
            rm "$work/bench/train-$precision.part"
        fi
    done
    return $code
}

# The plan's lines for a stage, one after the other.
planned() {
    local stage words code=0
    while IFS=: read -r stage words; do
        [[ $stage == "$1" ]] || continue
        # shellcheck disable=SC2086 # a line is several words
        try "$1" kdbench $words --device "$device" "${options[@]}" </dev/null || code=$?
        tar -C "$work/results" -czf "$output/records.tar.gz" records
    done <"$plan"
    return $code
}

grid() { planned grid; }
switches() { planned switches; }

# Device, driver, versions, commit and command of this call.
describe() {
    echo "command: $command"
    date -u +'begun: %Y-%m-%d %H:%M UTC'
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || echo "no nvidia-smi"
    echo "commit: $commit"
    uname -srm
    python3 --version
    python3 -m pip list
}

# Records without weights; tables, statistics, figures and pages; benchmarks and logs.
pack() {
    if [[ $1 == grid || $1 == switches ]]; then
        python3 benchmarks/measure_views.py "$plan" "$work/report" "${options[@]}" >"$work/logs/views.log" 2>&1
    fi
    tar -C "$work/results" -czf "$output/records.tar.gz" records
    tar -C "$work" -czf "$output/report.tar.gz" report
    tar -C "$work" -czf "$output/bench.tar.gz" bench logs
    find "$output" -name '*.tar.gz' -size +16M -printf 'larger than 16 MiB: %p\n'
}

install || fail "kdbench cannot be installed; --wheels names a folder with the packages that pip misses above."
describe >>"$work/bench/environment.txt" 2>/dev/null
for stage in ${stages//,/ }; do
    if [[ -e $work/done/$stage ]]; then
        echo "$stage: done before"
        continue
    fi
    began=$SECONDS
    if $stage >>"$work/logs/$stage.log" 2>&1; then
        touch "$work/done/$stage"
        echo "$stage: done in $((SECONDS - began)) s"
    else
        echo "$stage: not all of it, after $((SECONDS - began)) s; see $work/logs/$stage.log"
    fi
    pack "$stage"
done
ls -l "$output"
