//! How fast events are read, beside what bounds it: the same run counts the newlines of the same
//! bytes, copies them, and reads them off a loopback socket without looking at them.
//!
//! The traffic is all that a server sent in the plain recordings, repeated to some 64 MB. Per
//! event all headers are indexed and four values decoded.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected here may panic"
)]

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures_util::StreamExt;
use roomkeeper::esl::{ContentType, EslCodec, Event, Frame, FrameParser, Limits, READ_BUFFER};
use tokio_util::codec::FramedRead;

/// Bytes of traffic; `ESL_BENCH_BYTES` says otherwise, to get between the time slices of a machine
/// that is busy.
fn size() -> usize {
    std::env::var("ESL_BENCH_BYTES")
        .ok()
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(64_000_000)
}

/// Recorded traffic in one format, whole messages only.
fn traffic(format: &str) -> Bytes {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut once = Vec::new();
    let mut scenarios: Vec<_> = fs::read_dir(dir.join(format))
        .expect("recordings")
        .map(|entry| entry.expect("a scenario").path())
        .collect();
    scenarios.sort();
    for scenario in scenarios {
        let mut rest = Bytes::from(fs::read(scenario.join("events.esl")).expect("a recording"));
        let mut parser = FrameParser::new(Limits::default());
        while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
            once.extend_from_slice(frame.wire());
        }
    }
    Bytes::from(once.repeat(size() / once.len() + 1))
}

/// What a reader of events does at least with each.
fn read_event(frame: Frame) -> usize {
    match frame.content_type() {
        ContentType::EventPlain | ContentType::EventJson => {}
        _ => return 0,
    }
    let event = Event::from_frame(frame).expect("an event");
    black_box(event.get("Event-Name"));
    black_box(event.get("Event-Sequence"));
    black_box(event.get("Unique-ID"));
    black_box(event.get("Caller-Caller-ID-Name"));
    event.header_count()
}

fn from_buffer(traffic: &Bytes) -> usize {
    let mut rest = traffic.clone();
    let mut parser = FrameParser::new(Limits::default());
    let mut headers = 0;
    while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
        headers += read_event(frame);
    }
    assert!(rest.is_empty());
    headers
}

fn newlines(traffic: &Bytes) -> usize {
    memchr::memchr_iter(b'\n', traffic).count()
}

fn copy(traffic: &Bytes, into: &mut Vec<u8>) -> usize {
    into.clear();
    into.extend_from_slice(traffic);
    into.len()
}

/// A server that sends all of it to whoever connects.
fn server(traffic: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sent = stream.and_then(|mut s| s.write_all(&traffic));
            if sent.is_err() {
                return;
            }
        }
    });
    addr
}

fn bare_read(addr: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(addr).expect("the server");
    let mut buffer = vec![0; READ_BUFFER];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).expect("bytes") {
            0 => return total,
            n => total += black_box(n),
        }
    }
}

fn through_codec(runtime: &tokio::runtime::Runtime, addr: SocketAddr) -> usize {
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(addr)
            .await
            .expect("the server");
        let mut frames = FramedRead::with_capacity(stream, EslCodec::default(), READ_BUFFER);
        let mut headers = 0;
        while let Some(frame) = frames.next().await {
            headers += read_event(frame.expect("a frame"));
        }
        headers
    })
}

/// The best of many, in bytes per second: what else the machine does only ever makes it slower.
/// Criterion's figures below are of the ordinary kind.
fn rate(bytes: usize, mut run: impl FnMut() -> usize) -> f64 {
    let best = (0..(1_000_000_000 / bytes).max(9))
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    bytes as f64 / best.as_secs_f64()
}

/// Everything within one run, with the ratios that carry over to another machine.
fn report(runtime: &tokio::runtime::Runtime, plain: &Bytes, json: &Bytes) {
    let mut into = Vec::with_capacity(plain.len());
    let addr = server(plain.clone());
    let events = {
        let mut rest = plain.clone();
        let mut parser = FrameParser::new(Limits::default());
        std::iter::from_fn(|| Frame::take(&mut parser, &mut rest).ok()).count()
    };
    let mb = |rate: f64| rate / 1e6;
    let per_event = plain.len() as f64 / events as f64;
    let newline = rate(plain.len(), || newlines(plain));
    let memcpy = rate(plain.len(), || copy(plain, &mut into));
    let buffer = rate(plain.len(), || from_buffer(plain));
    let buffer_json = rate(json.len(), || from_buffer(json));
    let bare = rate(plain.len(), || bare_read(addr));
    let codec = rate(plain.len(), || through_codec(runtime, addr));
    eprintln!("{} bytes, {events} messages", plain.len());
    eprintln!("memchr of newlines   {:>8.0} MB/s", mb(newline));
    eprintln!("memcpy               {:>8.0} MB/s", mb(memcpy));
    eprintln!(
        "plain from a buffer  {:>8.0} MB/s  {:.2} of memchr, {:.2} of memcpy, {:.0} events/s",
        mb(buffer),
        buffer / newline,
        buffer / memcpy,
        buffer / per_event
    );
    eprintln!("json from a buffer   {:>8.0} MB/s", mb(buffer_json));
    eprintln!("bare loopback read   {:>8.0} MB/s", mb(bare));
    eprintln!(
        "codec over loopback  {:>8.0} MB/s  {:.2} of the bare read, {:.0} events/s",
        mb(codec),
        codec / bare,
        codec / per_event
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let (plain, json) = (traffic("plain"), traffic("json"));
    report(&runtime, &plain, &json);

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("esl");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    let mut into = Vec::with_capacity(plain.len());
    group.bench_function("memchr_newlines", |b| b.iter(|| newlines(&plain)));
    group.bench_function("memcpy", |b| b.iter(|| copy(&plain, &mut into)));
    group.bench_function("plain_from_buffer", |b| b.iter(|| from_buffer(&plain)));
    let addr = server(plain.clone());
    group.bench_function("bare_loopback_read", |b| b.iter(|| bare_read(addr)));
    group.bench_function("codec_over_loopback", |b| {
        b.iter(|| through_codec(&runtime, addr));
    });
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("json_from_buffer", |b| b.iter(|| from_buffer(&json)));
    group.finish();
    criterion.final_summary();
}
