//! Audibility in rooms of a real FreeSWITCH, judged by the sound that arrives at real telephones.
//!
//! Two servers with `freeswitch-conf/`, a controller on Redis, and SIP calls. Each participant sends a tone of its own
//! frequency; a test controls the room through the API, waits until the expected tones are audible, and judges the sound
//! that follows ([`judge`]). Flags and events are not evidence here.
//!
//! Runs where a FreeSWITCH is installed, on servers of its own ([`scene`]). With `ROOMKEEPER_TEST_FREESWITCH` and
//! `ROOMKEEPER_TEST_SIP` it runs on that server instead (`walk/freeswitch.rs` lists its requirements). Without either,
//! every test is reported as ignored.
//!
//! The target has its own `main`, because the tests share the servers: they mostly listen, so several run at a time.
// The whole target is a test, including parts that the lint does not recognize.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/phone/mod.rs"]
mod phone;
#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod coach;
mod dial;
mod hold;
mod judge;
mod keypad;
mod members;
mod moves;
mod party;
mod playback;
mod recording;
mod recovery;
mod rooms;
mod scene;
mod sounds;
mod waiting;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};
use tokio::sync::OnceCell;

use crate::scene::{Place, Scene};

/// Concurrent tests, unless the caller sets another number. Each has three or four calls, whose sound must not stumble.
const AT_A_TIME: usize = 4;

/// A running test.
type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A test of the suite, which runs in a room of its own on shared servers.
pub struct Test {
    name: &'static str,
    run: for<'a> fn(&'a Scene) -> Running<'a>,
}

/// A test with servers of its own.
type OwnTest = fn(Place) -> Running<'static>;

/// Makes the list of a module's tests from its functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<$crate::Test> {
            vec![$($crate::Test { name: stringify!($name), run: |scene| Box::pin($name(scene)) }),*]
        }
    };
}
pub(crate) use tests;

fn all() -> Vec<(&'static str, Vec<Test>)> {
    vec![
        ("rooms", rooms::tests()),
        ("members", members::tests()),
        ("coach", coach::tests()),
        ("hold", hold::tests()),
        ("keypad", keypad::tests()),
        ("moves", moves::tests()),
        ("playback", playback::tests()),
        ("recording", recording::tests()),
        ("sounds", sounds::tests()),
        ("waiting", waiting::tests()),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = Place::find();
    if place.is_none() && !arguments.list {
        println!("No FreeSWITCH is installed and none was given: nobody was heard.");
    }
    let scene: Arc<OnceCell<Scene>> = Arc::default();
    let mut trials = Vec::new();
    for (module, tests) in all() {
        for test in tests {
            let name = format!("{module}::{}", test.name);
            let (handle, scene, place) =
                (runtime.handle().clone(), Arc::clone(&scene), place.clone());
            trials.push(Trial::ignorable_test(name, move || {
                let Some(place) = place else {
                    return Ok(Completion::ignored_with("no FreeSWITCH"));
                };
                handle.block_on(async {
                    let scene = scene.get_or_init(|| Scene::start(place)).await;
                    (test.run)(scene).await;
                });
                Ok(Completion::Completed)
            }));
        }
    }
    let recovery = recovery::TESTS.iter().map(|test| ("recovery", test));
    let dial = dial::TESTS.iter().map(|test| ("dial", test));
    for (module, (name, run)) in recovery.chain(dial) {
        let (handle, place) = (runtime.handle().clone(), place.clone());
        let name = format!("{module}::{name}");
        trials.push(Trial::ignorable_test(name, move || {
            let Some(place @ Place::Installed(_)) = place else {
                return Ok(Completion::ignored_with("no FreeSWITCH to start"));
            };
            handle.block_on(run(place));
            Ok(Completion::Completed)
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The servers end here, within the runtime that they use.
    let _in_runtime = runtime.enter();
    drop(scene);
    conclusion.exit_code()
}
