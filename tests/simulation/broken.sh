#!/usr/bin/env bash
# Mutation test of the simulation: each patch in tests/simulation/broken breaks one line of a copy of the sources, and a
# simulation of that copy must fail within SCHEDULES schedules. The sources themselves stay unchanged.
#
#     tests/simulation/broken.sh [SCHEDULES]
set -euo pipefail

schedules=${1:-1000}
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
copy=$target/broken
patches=("$PWD"/tests/simulation/broken/*.patch)

# Copies the library and the simulation only: a program built from broken sources would replace the real one.
rm -rf "$copy"
mkdir -p "$copy/tests" "$copy/fixtures"
cp -r Cargo.lock src crates "$copy"
cp fixtures/*.toml "$copy/fixtures"
cp -r tests/simulation "$copy/tests"
rm "$copy/src/main.rs"
# The load harness depends on the package by its name, and the simulation does not need it.
rm -r "$copy/crates/roomkeeper-bench"
awk '/^\[/ { skip = /^\[\[(test|bench|example)\]\]/ } /^default-run/ { next } !skip' Cargo.toml >"$copy/Cargo.toml"
# The copy shares the built dependencies; its own name keeps everything else apart.
sed -i '0,/^name = "roomkeeper"/s//name = "roomkeeper-broken"/' "$copy/Cargo.toml" "$copy/Cargo.lock"
printf '\n[lib]\nname = "roomkeeper"\n' >>"$copy/Cargo.toml"

simulate() {
    ROOMKEEPER_SIMULATION_SCHEDULES=$schedules CARGO_TARGET_DIR=$target RUST_BACKTRACE=0 \
        cargo test --quiet --offline --manifest-path "$copy/Cargo.toml" --test simulation 2>&1
}

missed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    # tests/architecture.rs checks that each patch applies. `patch` sets the modification time to now, so cargo sees each change and each reversal.
    patch --batch --silent --directory "$copy" -p1 <"$patch"
    if output=$(simulate); then
        printf 'NOT FOUND in %s schedules: %s\n' "$schedules" "$name"
        missed=$((missed + 1))
    elif found=$(grep -m1 -o 'found by schedule [0-9]* of .*' <<<"$output"); then
        printf '%-36s %s\n' "$name" "$(cut -c1-150 <<<"$found")"
    else
        printf '%s: the failure is not from the simulation:\n%s\n' "$name" "$output"
        missed=$((missed + 1))
    fi
    patch --batch --silent --directory "$copy" -p1 --reverse <"$patch"
done
rm -rf "$copy"
((missed == 0))
