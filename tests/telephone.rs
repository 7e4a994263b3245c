//! The telephone of the tests (`support/phone`), with another telephone in place of a server.
// The whole target is a test, including parts that the lint does not recognize.
#![allow(clippy::unwrap_used)]

#[path = "support/phone/mod.rs"]
mod phone;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use phone::agent::Phone;
use phone::call::Call;
use phone::tone::{AMPLITUDE, FRAME, RATE, Tone};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The length of a window in which tones are detected.
const WINDOW: Duration = Duration::from_millis(100);

const LOW: Tone = Tone::ALL[0];
const HIGH: Tone = Tone::ALL[6];

/// Two telephones in a call with each other.
struct Pair {
    caller: Call,
    callee: Call,
    _phones: [Phone; 2],
}

impl Pair {
    async fn start() -> Self {
        let (alice, mut bob) = (Phone::start("alice").await, Phone::start("bob").await);
        let address = bob.address();
        let answer = async {
            let incoming = bob.incoming().await;
            assert_eq!(incoming.number(), "1001");
            incoming.progress(180).await;
            incoming.answer(Some(HIGH)).await
        };
        let (caller, callee) = tokio::join!(alice.call(address, "1001", Some(LOW)), answer);
        Self {
            caller,
            callee,
            _phones: [alice, bob],
        }
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until exactly these tones are audible during one window.
async fn until_heard(call: &Call, tones: &[Tone]) {
    let expected: BTreeSet<Tone> = tones.iter().copied().collect();
    until(&format!("{expected:?} is heard"), || {
        let start = call.clock() - WINDOW;
        call.audible(start, WINDOW, 1)[0] == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_call_hear_each_other() {
    let pair = Pair::start().await;
    until_heard(&pair.caller, &[HIGH]).await;
    until_heard(&pair.callee, &[LOW]).await;
    pair.caller.send(None);
    until_heard(&pair.callee, &[]).await;
    pair.caller.send(Some(HIGH));
    until_heard(&pair.callee, &[HIGH]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_arrive_once_each_in_order() {
    let pair = Pair::start().await;
    pair.caller.press("0123*#44").await;
    until("the keys arrive", || pair.callee.keys().len() >= 8).await;
    assert_eq!(pair.callee.keys(), "0123*#44");
    // The tone continues after the keys.
    until_heard(&pair.callee, &[LOW]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_is_an_offer_and_sound_continues_after_it() {
    let pair = Pair::start().await;
    until_heard(&pair.callee, &[LOW]).await;
    assert_eq!(pair.callee.offers(), 0);
    pair.caller.hold().await;
    assert_eq!(pair.callee.offers(), 1);
    pair.caller.resume().await;
    assert_eq!(pair.callee.offers(), 2);
    until_heard(&pair.callee, &[LOW]).await;
    until_heard(&pair.caller, &[HIGH]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hang_up_ends_the_other_side_also_by_drop() {
    let pair = Pair::start().await;
    pair.caller.hang_up().await;
    pair.callee.until_ended().await;
    assert!(pair.callee.is_over());
    until_heard(&pair.callee, &[]).await;
    let pair = Pair::start().await;
    let Pair { caller, callee, .. } = &pair;
    assert!(!caller.is_over() && !callee.is_over());
    let Pair {
        caller,
        callee,
        _phones,
    } = pair;
    drop(callee);
    caller.until_ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_refuses_with_the_chosen_status() {
    let (alice, mut bob) = (Phone::start("alice").await, Phone::start("bob").await);
    let address = bob.address();
    for status in [486, 603] {
        let refuse = async { bob.incoming().await.refuse(status).await };
        let (placed, ()) = tokio::join!(alice.try_call(address, "1001", None), refuse);
        assert_eq!(placed.err(), Some(status));
    }
    assert!(!bob.is_called());
}

#[test]
fn detector_finds_exactly_the_tones_of_a_sum() {
    let all = Tone::ALL;
    for first in all {
        assert_eq!(first.hertz() * 20 % 1_000, 0, "complete periods in a frame");
        for second in all {
            let sum = |at: u32| first.sample(at) + second.sample(at + 77);
            let sound: Vec<i16> = (0..RATE / 10).map(sum).collect();
            assert_eq!(Tone::audible(&sound), BTreeSet::from([first, second]));
            let frame = &sound[..FRAME];
            assert_eq!(Tone::audible(frame), BTreeSet::from([first, second]));
        }
        let sound: Vec<i16> = (0..RATE).map(|at| first.sample(at)).collect();
        let measured = first.amplitude(&sound);
        assert!((measured / AMPLITUDE - 1.0).abs() < 0.01, "{measured}");
    }
    assert!(Tone::audible(&[0; 800]).is_empty());
    assert!(Tone::audible(&[]).is_empty());
}
