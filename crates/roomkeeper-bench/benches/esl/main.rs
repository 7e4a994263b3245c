//! How fast events are read, beside what bounds it and beside other clients, in the same run.
//!
//! `cargo bench -p roomkeeper-bench --bench esl` prints the table of `benches/RESULTS.md`, then criterion's figures of what is ours.
//! `ESL_BENCH_BYTES` says how much traffic there is (64 MB): less gets between the time slices of a machine that is busy.
//! With `--test` everything runs once on little, to see that it works.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "what is not expected here may panic, what is not acted on is one thing, and a table is printed"
)]

mod contest;
mod readers;
mod traffic;

use criterion::{Criterion, Throughput};

/// Bytes of traffic, and how often everybody reads it.
fn size() -> (usize, usize) {
    // As criterion has it: `cargo bench` says so, `cargo test` does not.
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    if !asked("--bench") || asked("--test") {
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
    println!("{}", contest::table(&runtime, &plain, rounds));

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
