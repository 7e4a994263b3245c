//! The faults of the soak of controls, in a random order: each kind occurs before one occurs again.

use std::fmt;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::program::controller::Controller;
use crate::program::freeswitch::FreeSwitch;
use crate::program::world::World;

use super::Actors;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    FirstController,
    SecondController,
    Redis,
    FirstNode,
    SecondNode,
}

const KINDS: [Fault; 5] = [
    Fault::FirstController,
    Fault::SecondController,
    Fault::Redis,
    Fault::FirstNode,
    Fault::SecondNode,
];

/// The faults so far and those to come.
pub struct Kills {
    rng: SmallRng,
    every: Duration,
    next: Duration,
    waiting: Vec<Fault>,
    occurred: Vec<Fault>,
}

impl Kills {
    pub fn new(seed: u64, every: Duration) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            every,
            next: every,
            waiting: Vec::new(),
            occurred: Vec::new(),
        }
    }

    pub fn all_kinds_occurred(&self) -> bool {
        KINDS.iter().all(|kind| self.occurred.contains(kind)) || self.occurred.len() < KINDS.len()
    }

    /// Injects the next fault when its time has come.
    pub async fn inject_if_due(
        &mut self,
        at: Duration,
        actors: &Actors,
        servers: &mut [FreeSwitch],
        world: &mut World,
        replica: &mut Controller,
    ) {
        if at < self.next {
            return;
        }
        self.next = at + self.every;
        if self.waiting.is_empty() {
            self.waiting = KINDS.to_vec();
            self.waiting.shuffle(&mut self.rng);
        }
        let fault = self.waiting.pop().expect("a fault");
        println!("soak of controls: {:>4} s, kill: {fault:?}", at.as_secs());
        match fault {
            Fault::FirstController => world.kill_and_start_again(),
            Fault::SecondController => {
                replica.kill();
                replica.start_again();
            }
            Fault::Redis => {
                let server = world.redis.as_mut().expect("a Redis");
                server.kill();
                server.restart().await;
            }
            Fault::FirstNode => kill_node(0, actors, servers).await,
            Fault::SecondNode => kill_node(1, actors, servers).await,
        }
        self.occurred.push(fault);
    }
}

/// Kills a node and starts it again. All its calls count as hung up.
async fn kill_node(index: usize, actors: &Actors, servers: &mut [FreeSwitch]) {
    let node = &actors.nodes[index];
    let up = node.channels().await.unwrap_or_default();
    servers[index].kill();
    {
        let mut hung_up = actors.hung_up.lock().unwrap();
        // Calls that arrived just before the kill are in neither list alone.
        let known = node.channels.lock().unwrap().clone();
        hung_up.extend(
            up.into_iter()
                .chain(known)
                .map(|channel| format!("{}-{channel}", node.id)),
        );
    }
    node.channels.lock().unwrap().clear();
    servers[index].start_again().await;
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills:", self.occurred.len())?;
        for kind in KINDS {
            let count = self.occurred.iter().filter(|fault| **fault == kind).count();
            write!(f, " {kind:?} {count}")?;
        }
        Ok(())
    }
}
