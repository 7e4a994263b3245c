//! One row: its requests, its waits, and its cleanup.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freeswitch_sim::core::Media;
use serde_json::{Value, json};

use crate::backend::{Backend, Kind, Running};
use crate::program::controller::{Answer, ApiRequest, KEY};
use crate::program::poll;
use crate::program::proxy::Hold;
use crate::program::receiver::ReceivedWebhook;
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, World};
use crate::shape::{self, RFC3339};

type Run = for<'a> fn(&'a Row<'a>) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A row in its module's list.
pub struct Entry {
    pub name: &'static str,
    pub kind: Kind,
    pub not_on_a_real_server: Option<&'static str>,
    pub not_in_memory: Option<&'static str>,
    pub run: Run,
}

/// Defines the list of a module's rows, by the world that they run in.
macro_rules! rows {
    ($($kind:ident $(, not on a real server because $why:literal)? $(, not in memory because $volatile:literal)?: [$($name:ident),* $(,)?])*) => {
        pub fn rows() -> Vec<crate::row::Entry> {
            let mut rows = Vec::new();
            $(
                let reasons: &[&'static str] = &[$($why)?];
                let volatile: &[&'static str] = &[$($volatile)?];
                $(
                    rows.push(crate::row::Entry {
                        name: stringify!($name),
                        kind: crate::backend::Kind::$kind,
                        not_on_a_real_server: reasons.first().copied(),
                        not_in_memory: volatile.first().copied(),
                        run: |row| Box::pin($name(row)),
                    });
                )*
            )*
            rows
        }
    };
}
pub(crate) use rows;

/// An application.
#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub key: String,
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The session's uuid.
    pub id: String,
    pub channel: String,
    pub caller: String,
    pub did: String,
}

#[derive(Default)]
struct Made {
    scopes: Vec<String>,
    channels: Vec<String>,
}

pub struct Row<'a> {
    pub backend: &'a Backend,
    pub running: Arc<Running>,
    pub app: App,
    name: &'static str,
    made: Mutex<Made>,
}

static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl<'a> Row<'a> {
    pub fn new(backend: &'a Backend, running: Arc<Running>, name: &'static str) -> Self {
        Self {
            app: App {
                id: running.world.app.clone(),
                key: KEY.to_owned(),
            },
            backend,
            running,
            name,
            made: Mutex::default(),
        }
    }

    /// Returns this row in a world of its own.
    pub fn in_world(&self, running: Running) -> Row<'a> {
        Row::new(self.backend, Arc::new(running), self.name)
    }

    /// Returns this row in a world of its own whose setup `change` modifies.
    pub async fn in_own_world(&self, change: impl FnOnce(&mut Setup)) -> Row<'a> {
        let mut setup = self.backend.setup();
        change(&mut setup);
        self.in_world(self.backend.start_with(setup, None).await)
    }

    /// Returns the row's own world, to kill its controller.
    pub fn world_mut(&mut self) -> &mut World {
        let running = Arc::get_mut(&mut self.running);
        &mut running.expect("a world of its own").world
    }

    pub fn other(&self) -> &App {
        &self.running.other
    }

    pub fn node(&self) -> &str {
        &self.running.world.node
    }

    /// Returns a name that no other room has.
    pub fn fresh_name(&self) -> String {
        format!("r{}", uuid::Uuid::new_v4().simple())
    }

    // Requests.

    /// Sends this request exactly once.
    pub async fn exactly(&self, ask: ApiRequest<'_>) -> Answer {
        let sent = self.running.world.controller.exactly(ask);
        sent.await.expect("every request is answered")
    }

    pub async fn ask(&self, app: &App, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.exactly(ApiRequest {
            method,
            path,
            app: Some(&app.id),
            key: Some(&app.key),
            content_type: body.map(|_| "application/json"),
            body: body.map(Value::to_string),
            ..ApiRequest::default()
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&self.app, "GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.app, "POST", path, Some(&body)).await
    }

    pub async fn status(&self, room: &str) -> Answer {
        let answer = self.get(&format!("/conferences/{room}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    pub async fn members(&self, room: &str) -> Answer {
        let answer = self.get(&format!("/conferences/{room}/members")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    pub async fn delete(&self, room: &str) -> Answer {
        let path = format!("/conferences/{room}");
        self.ask(&self.app, "DELETE", &path, None).await
    }

    /// Sends `play`, `pause`, `stop` or `volume`; without a body when that is null.
    pub async fn control(&self, room: &str, what: &str, body: Value) -> Answer {
        let path = format!("/conferences/{room}/{what}");
        let body = Some(&body).filter(|body| !body.is_null());
        self.ask(&self.app, "POST", &path, body).await
    }

    /// Sends `join`, `leave`, `mute` or `unmute`; without a body when that is null.
    pub async fn command(&self, call: &Call, what: &str, body: Value) -> Answer {
        let path = format!("/sessions/{}/commands/conference/{what}", call.id);
        let body = Some(&body).filter(|body| !body.is_null());
        self.ask(&self.app, "POST", &path, body).await
    }

    pub async fn request_join(&self, call: &Call, room: &str) -> Answer {
        self.command(call, "join", json!({ "room_id": room })).await
    }

    /// Returns `state` and `room_id` of a call.
    pub async fn state_and_room(&self, call: &Call) -> (String, Value) {
        let answer = self.get(&format!("/sessions/{}", call.id)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (answer.text("state"), answer.body["room_id"].clone())
    }

    pub async fn until_parked(&self, call: &Call) {
        poll::until("the call is parked", poll::TIMEOUT, async || {
            (self.state_and_room(call).await == ("parked".to_owned(), Value::Null)).then_some(())
        })
        .await;
    }

    // Rooms and calls.

    pub async fn room(&self) -> String {
        self.room_of(&self.app).await
    }

    pub async fn room_of(&self, app: &App) -> String {
        let body = json!({ "name": self.fresh_name(), "node": self.node() });
        let answer = self.ask(app, "POST", "/conferences", Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let room = answer.text("room_id");
        if app.id == self.app.id {
            self.note(&room);
        }
        room
    }

    /// Notes a scope created here, whose webhooks are checked at the end.
    pub fn note(&self, scope: &str) {
        self.made.lock().unwrap().scopes.push(scope.to_owned());
    }

    /// Places a parked call whose `call.new` the app has received.
    pub async fn call(&self) -> Call {
        let mut call = self.place_call(&self.app, ("park", "")).await;
        let webhook = self.webhook(&call.id, "call.new").await;
        call.did = webhook.body["data"]["did"].as_str().unwrap().to_owned();
        call
    }

    /// Places a parked call of another app.
    pub async fn call_of(&self, app: &App) -> Call {
        let call = self.place_call(app, ("park", "")).await;
        let path = format!("/sessions/{}", call.id);
        poll::until("the call is known", poll::TIMEOUT, async || {
            (self.ask(app, "GET", &path, None).await.status == 200).then_some(())
        })
        .await;
        call
    }

    /// Places a call for which the dialplan runs `plan`. Its dialled number is not known yet.
    pub async fn place_call(&self, app: &App, plan: (&str, &str)) -> Call {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let caller = format!("5271{number:05}");
        let world = &self.running.world;
        let placed = world
            .switch
            .place_call_for(&app.id, &caller, plan, PASSWORD);
        let channel = placed.await;
        let id = world.call_id(&channel);
        let mut made = self.made.lock().unwrap();
        made.channels.push(channel.clone());
        if app.id == self.app.id {
            made.scopes.push(id.clone());
        }
        Call {
            id,
            channel,
            caller,
            did: String::new(),
        }
    }

    /// Notes a dialled call, which ends with the row.
    pub fn note_dialled(&self, id: &str, number: &str) -> Call {
        let channel = self.running.world.channel(id).to_owned();
        let mut made = self.made.lock().unwrap();
        made.channels.push(channel.clone());
        made.scopes.push(id.to_owned());
        Call {
            id: id.to_owned(),
            channel,
            caller: String::new(),
            did: number.to_owned(),
        }
    }

    /// Puts the call into the room, and waits for the webhook.
    pub async fn join(&self, call: &Call, room: &str) {
        let before = self.count(room, "conference.member.joined");
        let answer = self.request_join(call, room).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        self.nth_webhook(room, "conference.member.joined", before + 1)
            .await;
    }

    /// Places a call that joins the room.
    pub async fn member(&self, room: &str) -> Call {
        let call = self.call().await;
        self.join(&call, room).await;
        call
    }

    /// Creates a room with one member.
    pub async fn room_with_member(&self) -> (String, Call) {
        let room = self.room().await;
        let call = self.member(&room).await;
        (room, call)
    }

    // Playback.

    /// Returns the URL of a file that lasts `ms` milliseconds.
    pub fn sound(&self, ms: u64) -> String {
        self.file(Some(Duration::from_millis(ms)))
    }

    /// Returns the URL of a file that does not exist.
    pub fn no_sound(&self) -> String {
        self.file(None)
    }

    fn file(&self, lasts: Option<Duration>) -> String {
        // A new name each time, because FreeSWITCH caches fetched files.
        let name = format!("{}.wav", uuid::Uuid::new_v4());
        let url = self.running.media.add(&name, lasts);
        if let Switch::Sim(sim) = &self.running.world.switch {
            let micros = |lasts: Duration| u64::try_from(lasts.as_micros()).unwrap();
            let duration = lasts.map(micros);
            sim.set_media(
                &url,
                Media {
                    duration,
                    opening: 0,
                },
            );
        }
        url
    }

    /// Plays the files and returns the operation's id.
    pub async fn play(&self, room: &str, urls: &[&str]) -> String {
        let answer = self.control(room, "play", json!({ "urls": urls })).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.text("operation_id")
    }

    /// Waits until FreeSWITCH plays this file; `None`: no file.
    pub async fn until_plays(&self, room: &str, url: Option<&str>) {
        let wanted = match url {
            Some(url) => url.rsplit('/').next().unwrap(),
            None => "Nothing is playing",
        };
        let ask = format!("conference {room} play_status");
        poll::until(
            &format!("FreeSWITCH reports {wanted}"),
            poll::TIMEOUT,
            async || self.fs(&ask).await.contains(wanted).then_some(()),
        )
        .await;
    }

    // FreeSWITCH, bypassing the controller.

    pub async fn fs(&self, command: &str) -> String {
        self.running.world.fs(command).await
    }

    /// Returns FreeSWITCH's flag for the member's right to speak; `None` if it is not in the room.
    pub async fn speaks(&self, room: &str, call: &Call) -> Option<bool> {
        let world = &self.running.world;
        let members = world.switch.members(PASSWORD, room).await?;
        let member = members
            .into_iter()
            .find(|(channel, _)| *channel == call.channel);
        member.map(|(_, speaks)| speaks)
    }

    pub async fn until_speaks(&self, room: &str, call: &Call, speaks: Option<bool>) {
        let what = format!(
            "FreeSWITCH lists {} in {room} with speak flag {speaks:?}",
            call.channel
        );
        poll::until(&what, poll::TIMEOUT, async || {
            (self.speaks(room, call).await == speaks).then_some(())
        })
        .await;
    }

    pub async fn exists(&self, call: &Call) -> bool {
        self.fs(&format!("uuid_exists {}", call.channel)).await == "true"
    }

    /// Holds back FreeSWITCH's conference events of this room.
    pub fn hold_room(&self, room: &str) -> Hold {
        let room = room.to_owned();
        self.running
            .proxy
            .hold_events(move |event| is_about_room(event, &room))
    }

    /// Holds back FreeSWITCH's conference events of this room and all events of this call.
    pub fn hold_room_and_call(&self, room: &str, call: &Call) -> Hold {
        let (room, call) = (room.to_owned(), call.channel.clone());
        self.running
            .proxy
            .hold_events(move |event| is_about_room(event, &room) || is_about_call(event, &call))
    }

    pub fn hold_call(&self, call: &Call) -> Hold {
        let call = call.channel.clone();
        self.running
            .proxy
            .hold_events(move |event| is_about_call(event, &call))
    }

    // Webhooks.

    pub async fn webhook(&self, scope: &str, event: &str) -> ReceivedWebhook {
        self.nth_webhook(scope, event, 1).await
    }

    pub async fn nth_webhook(&self, scope: &str, event: &str, n: usize) -> ReceivedWebhook {
        self.running.world.receiver.nth(scope, event, n).await
    }

    pub fn count(&self, scope: &str, event: &str) -> usize {
        let story = self.event_names(scope);
        story.iter().filter(|name| *name == event).count()
    }

    /// Returns the event names of all webhooks about this room or call so far.
    pub fn event_names(&self, scope: &str) -> Vec<String> {
        let delivered = self.running.world.receiver.delivered(scope);
        delivered.iter().map(|got| got.event().to_owned()).collect()
    }

    /// Waits for the first webhook of this name about the room, and checks its whole body.
    pub async fn check_first_webhook(
        &self,
        room: &str,
        event: &str,
        about: Option<&Call>,
        data: Value,
    ) -> ReceivedWebhook {
        let got = self.webhook(room, event).await;
        self.check_webhook(&got, room, about, data);
        got
    }

    #[track_caller]
    pub fn check_webhook(
        &self,
        got: &ReceivedWebhook,
        room: &str,
        about: Option<&Call>,
        data: Value,
    ) {
        let mut body = json!({
            "event": got.event(),
            "timestamp": RFC3339,
            "app_id": self.app.id,
            "room_id": room,
            "sequence": got.sequence(),
            "data": data,
        });
        if let Some(call) = about {
            body["session_uuid"] = json!(call.id);
        }
        shape::check(&got.body, &body);
    }

    /// Deletes the room and checks that its only webhooks are its creation, these events and its end.
    pub async fn check_only_webhooks(&self, room: &str, events: &[&str]) {
        let answer = self.delete(room).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.webhook(room, "conference.destroyed").await;
        let mut expected = vec!["conference.created"];
        expected.extend(events);
        expected.push("conference.destroyed");
        assert_eq!(self.event_names(room), expected);
    }

    /// Checks the invariants of all webhooks about the scopes created here.
    pub fn check_webhooks(&self) {
        for scope in &self.made.lock().unwrap().scopes {
            self.running.world.receiver.check_sequences_for(scope);
        }
    }
}

fn is_about_room(event: &str, room: &str) -> bool {
    event.contains("Event-Subclass: conference%3A%3Amaintenance\n")
        && event.contains(&format!("Conference-Name: {room}\n"))
}

fn is_about_call(event: &str, channel: &str) -> bool {
    event.contains(&format!("Unique-ID: {channel}\n"))
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap();
        let world = &self.running.world;
        world.switch.end_calls(PASSWORD, &made.channels);
        if std::thread::panicking() {
            let log = world.controller.log_about(|line| {
                let mut ids = made.scopes.iter().chain(&made.channels);
                ids.any(|id| line.contains(id))
                    || line.contains("resync begins")
                    || line.contains("Conference-Size")
            });
            eprintln!(
                "--- the controller's log about the rooms and calls of {} ---\n{log}",
                self.name
            );
        }
    }
}
