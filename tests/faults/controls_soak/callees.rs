//! The callees of the soak of controls: telephones that answer, are busy, refuse or let it ring, and the dial-outs that
//! were requested.
//!
//! A dial-out carries its number in the SIP header `X-Dial`, and a transfer in the dialled user, so the telephones count
//! the calls of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::phone::agent::{IncomingCall, Phone};

/// Telephones that can be called.
const PHONES: usize = 4;

/// The longest call of a callee.
const LONGEST_CALL: Duration = Duration::from_secs(25);

/// The time for which a telephone rings that nobody answers: longer than any dial-out.
const RINGS_ON: Duration = Duration::from_secs(60);

/// A requested dial-out.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Its path in the API.
    pub path: String,
    pub call: String,
    /// The calls that it may make.
    pub attempts: usize,
    pub cancelled: bool,
}

#[derive(Default)]
pub struct Dials {
    /// The accepted dial-outs, by their number.
    pub accepted: BTreeMap<u64, Dial>,
    /// The calls that the telephones received, by number.
    pub calls: BTreeMap<u64, usize>,
    /// The calls that the telephones received for transfers, by the dialled user.
    pub transfers: BTreeMap<String, usize>,
    /// The numbers of dial-outs of which a callee has hung up.
    pub hung_up: BTreeSet<u64>,
    numbers: u64,
}

/// The telephones, which live as long as this value.
pub struct Callees {
    pub addresses: Vec<String>,
    dials: Arc<Mutex<Dials>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Callees {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Callees {
    pub async fn start(seed: u64) -> Self {
        let dials: Arc<Mutex<Dials>> = Arc::default();
        let mut callees = Self {
            addresses: Vec::new(),
            dials: Arc::clone(&dials),
            tasks: Vec::new(),
        };
        for n in 0..PHONES {
            let phone = Phone::start("callee").await;
            let address = format!("callee@{}", phone.address());
            callees.addresses.push(address);
            let rng = SmallRng::seed_from_u64(seed ^ (0xCA11 + n as u64));
            let task = take_calls(phone, rng, Arc::clone(&dials));
            callees.tasks.push(tokio::spawn(task));
        }
        callees
    }

    pub fn dials(&self) -> MutexGuard<'_, Dials> {
        self.dials.lock().unwrap()
    }

    /// Returns the number of the next dial-out or transfer, and a callee.
    pub fn choose(&self, rng: &mut SmallRng) -> (u64, &str) {
        let mut dials = self.dials();
        dials.numbers += 1;
        let address = self.addresses.choose(rng).expect("a telephone");
        (dials.numbers, address)
    }

    /// Returns the path of one of the last dial-outs.
    pub fn any_path(&self, rng: &mut SmallRng) -> Option<String> {
        let dials = self.dials();
        let last: Vec<&Dial> = dials.accepted.values().rev().take(6).collect();
        last.choose(rng).map(|dial| dial.path.clone())
    }
}

/// Takes the calls of one telephone.
async fn take_calls(mut phone: Phone, mut rng: SmallRng, dials: Arc<Mutex<Dials>>) {
    // Ends all calls with the telephone.
    let mut calls = tokio::task::JoinSet::new();
    loop {
        let call = phone.next_call().await;
        let number: Option<u64> = call.header("X-Dial").parse().ok();
        {
            let mut dials = dials.lock().unwrap();
            *match number {
                Some(number) => dials.calls.entry(number).or_default(),
                None => dials.transfers.entry(call.number().to_owned()).or_default(),
            } += 1;
        }
        let rng = SmallRng::seed_from_u64(rng.random());
        calls.spawn(take_call(call, number, rng, Arc::clone(&dials)));
        while calls.try_join_next().is_some() {}
    }
}

async fn take_call(
    mut call: IncomingCall,
    number: Option<u64>,
    mut rng: SmallRng,
    dials: Arc<Mutex<Dials>>,
) {
    // The times of a callee, not waits for a condition.
    let pause = Duration::from_millis(rng.random_range(0..3_000));
    match rng.random_range(0..10) {
        0 => return call.refuse(486).await,
        1 => return call.refuse([480, 603, 503][rng.random_range(0..3)]).await,
        2 => {
            call.progress(180).await;
            call.rings_for(RINGS_ON).await;
            return;
        }
        3 => {}
        4 => {
            call.progress(180).await;
            if !call.rings_for(pause).await {
                return;
            }
            return call.refuse(486).await;
        }
        _ => {
            call.progress(180).await;
            if !call.rings_for(pause).await {
                return;
            }
        }
    }
    let call = call.answer(None).await;
    let length = LONGEST_CALL.mul_f64(rng.random_range(0.1..1.0));
    if rng.random_bool(0.3) {
        call.press("12#").await;
    }
    if call.ends_within(length).await {
        return;
    }
    dials.lock().unwrap().hung_up.extend(number);
    // The call is hung up with its value.
    drop(call);
}
