#!/usr/bin/env bash
# Shows that the simulation bites: each patch in tests/simulation/broken spoils one line of a copy of the sources, and a
# simulation of that copy must fail within so many schedules. Nothing of the kind is in the sources themselves.
#
#     tests/simulation/broken.sh [SCHEDULES]
set -euo pipefail

schedules=${1:-1000}
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
copy=$target/broken
patches=("$PWD"/tests/simulation/broken/*.patch)

# The library and the simulation alone: a program that was built of spoilt sources would take the place of the real one.
rm -rf "$copy"
mkdir -p "$copy/tests" "$copy/fixtures"
cp -r Cargo.lock src "$copy"
cp fixtures/*.toml "$copy/fixtures"
cp -r tests/simulation "$copy/tests"
rm "$copy/src/main.rs"
awk '/^\[/ { skip = /^\[\[(test|bench|example)\]\]/ } /^default-run/ { next } !skip' Cargo.toml >"$copy/Cargo.toml"
# It shares what the dependencies were built to, and under a name of its own nothing else.
sed -i '0,/^name = "roomkeeper"/s//name = "roomkeeper-broken"/' "$copy/Cargo.toml" "$copy/Cargo.lock"
printf '\n[lib]\nname = "roomkeeper"\n' >>"$copy/Cargo.toml"

simulate() {
    ROOMKEEPER_SIMULATION_SCHEDULES=$schedules CARGO_TARGET_DIR=$target RUST_BACKTRACE=0 \
        cargo test --quiet --locked --manifest-path "$copy/Cargo.toml" --test simulation 2>&1
}

unfound=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    # A test of the architecture says when a patch does not fit any more. `patch` leaves the file with the time of now, so that cargo sees each change and each way back.
    patch --batch --silent --directory "$copy" -p1 <"$patch"
    if told=$(simulate); then
        printf 'NOT FOUND in %s schedules: %s\n' "$schedules" "$name"
        unfound=$((unfound + 1))
    elif found=$(grep -m1 -o 'found by schedule [0-9]* of .*' <<<"$told"); then
        printf '%-28s %s\n' "$name" "$(cut -c1-150 <<<"$found")"
    else
        printf '%s: it was not the simulation that failed:\n%s\n' "$name" "$told"
        unfound=$((unfound + 1))
    fi
    patch --batch --silent --directory "$copy" -p1 --reverse <"$patch"
done
rm -rf "$copy"
((unfound == 0))
