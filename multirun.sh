#!/usr/bin/env bash
# A study: every data set x seed x method x random seed. What is finished is skipped, a failed run does not stop the others.
usage() {
    cat <<'TEXT'
usage: ./multirun.sh [options] [-- OPTION=VALUE ...]
  --datasets A,B   data sets of conf/dataset             (or DATASETS; rooms)
  --seeds A,B      seeds of conf/seed                    (or SEEDS; random)
  --acquires A,B   methods of conf/acquire               (or ACQUIRES; random,redal)
  --rngs 1,2,3     random seeds                          (or RNGS; 1,2,3)
  --jobs N         runs at once on this machine          (or JOBS; 1)
  --launcher NAME  joblib, slurm or slurm_local of conf/hydra/launcher: one sweep of all that is missing (or LAUNCHER)
  --logs FOLDER    what the runs print, with --jobs 2 and more (or LOGS; outputs/sweeps/logs)
  --dry-run        print the commands and run nothing
  -- ...           options of train.py for every run, such as experiment=demo trainer.threads=1
Runs with $PYTHON, else the .venv beside this script, else python. Exit code 1 when a run failed or is not finished; the same command goes on.
TEXT
}

set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd) || exit 2
datasets=${DATASETS:-rooms} seeds=${SEEDS:-random} acquires=${ACQUIRES:-random,redal} rngs=${RNGS:-1,2,3}
jobs=${JOBS:-1} launcher=${LAUNCHER:-} logs=${LOGS:-outputs/sweeps/logs} dry=
python=${PYTHON:-$here/.venv/bin/python}
[ -n "${PYTHON:-}" ] || [ -x "$python" ] || python=python

say() { printf '%s\n' "$*"; }
stop() { say "multirun.sh: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        --datasets | --seeds | --acquires | --rngs | --jobs | --launcher | --logs)
            [ $# -ge 2 ] || stop "$1 needs a value"
            case $1 in
                --datasets) datasets=$2 ;;
                --seeds) seeds=$2 ;;
                --acquires) acquires=$2 ;;
                --rngs) rngs=$2 ;;
                --jobs) jobs=$2 ;;
                --launcher) launcher=$2 ;;
                --logs) logs=$2 ;;
            esac
            shift 2
            ;;
        --dry-run) dry=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        --) shift && break ;;
        *) stop "$1 is not an option; options of train.py come after --" ;;
    esac
done
case $jobs in '' | *[!0-9]* | 0) stop "--jobs $jobs: give a whole number from 1 on" ;; esac
[ -z "$launcher" ] || [ "$jobs" = 1 ] || stop "--jobs is for runs without a launcher; a launcher has its own: -- hydra.launcher.n_jobs=$jobs, hydra.launcher.array_parallelism=$jobs"

# The options of a launcher mean nothing to the question which runs are there.
shared=()
for word in "$@"; do
    case $word in hydra.* | hydra/*) ;; *) shared+=("$word") ;; esac
done

# One line a run: state, rounds, folder and options, separated by tabs.
listed() {
    "$python" -m al3d study cells "dataset=$datasets" "seed=$seeds" "acquire=$acquires" "rng=$rngs" ${shared[@]+"${shared[@]}"} |
        grep -E "^(finished|started|new|refused|repeated)$tab"
}
tab=$(printf '\t')
cd "$here" || exit 2
found=$(listed) || stop "the runs could not be listed: see the message above"

missing=() repeated=0
while IFS=$tab read -r state rounds folder words; do
    case $state in
        finished) say "finished: $folder" ;;
        repeated) say "skipped: $words: the same run as $folder" && repeated=$((repeated + 1)) ;;
        refused) say "cannot run: $words: $folder" && missing+=("$words") ;;
        *) missing+=("$words") ;;
    esac
done <<<"$found"
if [ ${#missing[@]} -eq 0 ]; then
    say "nothing to do"
    exit 0
fi

# The values of one option among the missing runs, separated by commas.
values() {
    printf '%s\n' "${missing[@]}" | tr ' ' '\n' | sed -n "s/^'\{0,1\}$1=//p" | tr -d "'" | awk '!seen[$0]++' | paste -sd, -
}

# A name for the log of a run: its four choices.
named() {
    printf '%s\n' "$1" | tr ' ' '\n' | sed -n 's/^\(dataset\|seed\|acquire\|rng\)=//p' | paste -sd- - | tr -c 'A-Za-z0-9_.\n-' _
}

failed=()
if [ -n "$launcher" ]; then
    command=("$python" train.py -m "hydra/launcher=$launcher" "dataset=$(values dataset)" "seed=$(values seed)" "acquire=$(values acquire)" "rng=$(values rng)" "$@")
    say "${command[*]}"
    [ -z "$dry" ] || exit 0
    "${command[@]}" || say "the sweep ended with exit code $?; what the runs say of themselves:"
    found=$(listed) || stop "the runs could not be listed: see the message above"
    while IFS=$tab read -r state rounds folder words; do
        [ "$state" = finished ] || [ "$state" = repeated ] || failed+=("$state, $rounds rounds: $words")
    done <<<"$found"
else
    trap 'exit 130' INT
    # The options of a run are words that the shell can read again.
    run() {
        local words
        eval "words=($1)"
        "$python" train.py "${words[@]}"
    }
    marks=$(mktemp -d) || exit 2
    trap 'rm -rf "$marks"' EXIT
    place=0
    for words in "${missing[@]}"; do
        place=$((place + 1))
        say "$python train.py $words"
        [ -z "$dry" ] || continue
        if [ "$jobs" = 1 ]; then
            run "$words" || : >"$marks/$place"
            continue
        fi
        mkdir -p "$logs"
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        (run "$words" >"$logs/$(named "$words").log" 2>&1 || : >"$marks/$place") &
    done
    wait
    place=0
    for words in "${missing[@]}"; do
        place=$((place + 1))
        [ ! -e "$marks/$place" ] || failed+=("$words")
    done
fi

[ -z "$dry" ] || exit 0
runs=$(($(printf '%s\n' "$found" | wc -l) - repeated))
if [ ${#failed[@]} -gt 0 ]; then
    say "not finished: ${#failed[@]} of $runs runs"
    printf '  %s\n' "${failed[@]}"
    [ "$jobs" = 1 ] || say "what they printed is in $logs"
    say "the same command goes on where they stopped"
    exit 1
fi
say "all $runs runs are finished"
