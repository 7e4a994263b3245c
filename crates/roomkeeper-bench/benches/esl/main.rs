//! The speed of reading events, beside its limits and other clients, in the same run.
//!
//! `cargo bench -p roomkeeper-bench --bench esl` prints the table of `benches/RESULTS.md`, then criterion's figures of this
//! project's reader. `ESL_BENCH_BYTES` sets the size of the traffic (64 MB): a smaller one fits between the time slices of a
//! busy machine. With `--test` everything runs once on little traffic, as a test.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a benchmark may panic, ignores other variants, and prints a table"
)]

mod comparison;
mod readers;
mod traffic;

use criterion::{Criterion, Throughput};

/// Returns the bytes of traffic and the number of rounds.
fn size() -> (usize, usize) {
    // As in criterion: `cargo bench` passes `--bench`, `cargo test` does not.
    let has_flag = |flag: &str| std::env::args().any(|arg| arg == flag);
    if !has_flag("--bench") || has_flag("--test") {
        return (1_000_000, 1);
    }
    let bytes = std::env::var("ESL_BENCH_BYTES")
        .ok()
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(64_000_000);
    (bytes, (600_000_000 / bytes).max(9))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (bytes, rounds) = size();
    let (plain, json) = (
        traffic::events("plain", bytes),
        traffic::events("json", bytes),
    );
    println!("{}", comparison::table(&runtime, &plain, rounds));

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("esl");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("plain_from_buffer", |b| b.iter(|| readers::ours(&plain)));
    let addr = readers::server(plain.clone());
    group.bench_function("plain_over_loopback", |b| {
        b.iter(|| readers::ours_over(&runtime, addr));
    });
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("json_from_buffer", |b| b.iter(|| readers::ours(&json)));
    group.finish();
    criterion.final_summary();
}
