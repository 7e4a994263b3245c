//! The host to which a real FreeSWITCH connects for a play URL: the checked one, and no other.
//!
//! FreeSWITCH reads a URL with several parsers. The table holds URLs that two parsers read differently.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::freeswitch::say;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::media::{Origin, redirect, sound, wav};
use crate::program::poll;
use crate::program::switch::{Line, Switch, real_app};
use crate::program::world::{Setup, Store, World};
use crate::support::process;

/// The only allowed host; all other addresses of this machine stand for internal ones.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// URLs with `ALLOWED` for the allowed `host:port`, `HOST` for its host, `INSIDE` for the forbidden `host:port` and `PORT`
/// for its port.
const DIFFERENTIALS: &[&str] = &[
    "http://ALLOWED/@INSIDE/x.wav",
    "http://ALLOWED/x@INSIDE/x.wav",
    "http://ALLOWED/a/b@INSIDE/x.wav",
    "http://ALLOWED/?x=@INSIDE/x.wav",
    "http://ALLOWED/x.wav?a=1&b=@INSIDE/x.wav",
    "http://ALLOWED/user:pass@INSIDE/x.wav",
    "http://ALLOWED/@localhost:PORT/x.wav",
    "https://ALLOWED/@INSIDE/x.wav",
    "http://ALLOWED/\\@INSIDE/x.wav",
    "http://ALLOWED\\@INSIDE/x.wav",
    "http://ALLOWED/@@INSIDE/x.wav",
    "http://ALLOWED/@2130706433:PORT/x.wav",
    "http://ALLOWED/@0x7f.1:PORT/x.wav",
    "http://ALLOWED/@INSIDE",
    "http://ALLOWED//@INSIDE/x.wav",
    "http://ALLOWED/;@INSIDE/x.wav",
    "http://ALLOWED/:@INSIDE/x.wav",
    "http://ALLOWED/a%2F@INSIDE/x.wav",
    "http://ALLOWED/a%5C@INSIDE/x.wav",
    "http://ALLOWED/%40INSIDE/x.wav",
    "http://ALLOWED/%2540INSIDE/x.wav",
    "http://ALLOWED/\u{ff20}INSIDE/x.wav",
    "http://ALLOWED/\u{fe6b}INSIDE/x.wav",
    "http://ALLOWED/x.wav#@INSIDE/x.wav",
    "http://ALLOWED?@INSIDE/x.wav",
    "http://ALLOWED/??x=@INSIDE/x.wav",
    "http://ALLOWED/http://INSIDE/x.wav",
    "http://ALLOWED/x.wav?u=http://INSIDE/x.wav",
    "http://ALLOWED/x.wav!http://INSIDE/x.wav",
    "http://ALLOWED/x.wav,http://INSIDE/x.wav",
    "http://ALLOWED/x.wav;http://INSIDE/x.wav",
    "http://ALLOWED/x.wav http://INSIDE/x.wav",
    "http://ALLOWED/x.wav\thttp://INSIDE/x.wav",
    "http://ALLOWED/x.wav'http://INSIDE/x.wav",
    "http://ALLOWED/(x=1)INSIDE/x.wav",
    "http://ALLOWED/{x=1}http://INSIDE/x.wav",
    "http://ALLOWED/${expr(1)}@INSIDE/x.wav",
    "http://ALLOWED/~/*/+/&/=/@INSIDE/x.wav",
    "http://ALLOWED/../../@INSIDE/x.wav",
    "http://ALLOWED/%2e%2e/@INSIDE/x.wav",
    "http://ALLOWED@INSIDE/x.wav",
    "http://HOST:80@INSIDE/x.wav",
    "http://HOST%40INSIDE/x.wav",
    "http://HOST%00@INSIDE/x.wav",
    "http://INSIDE/x.wav",
    "http://INSIDE\\@ALLOWED/x.wav",
    "http://INSIDE#@ALLOWED/x.wav",
    "http://INSIDE?@ALLOWED/x.wav",
    "http://127.0.0.1.:PORT/x.wav",
    "http://127.0.0.1..:PORT/x.wav",
    "http://127.1:PORT/x.wav",
    "http://0177.0.0.1:PORT/x.wav",
    "http://0x7f000001:PORT/x.wav",
    "http://2130706433:PORT/x.wav",
    "http://\u{ff11}27.0.0.1:PORT/x.wav",
    "http://127\u{3002}0\u{3002}0\u{3002}1:PORT/x.wav",
    "http://localhost:PORT/x.wav",
    "http://localhost.:PORT/x.wav",
    "http://[::ffff:127.0.0.1]:PORT/x.wav",
    "http:ALLOWED/@INSIDE/x.wav",
    "http:///ALLOWED/@INSIDE/x.wav",
    "(x=1)http://INSIDE/x.wav",
];

/// URLs of an honest caller, and the path that their server receives.
const HONEST: &[(&str, &str)] = &[
    ("http://ALLOWED/greeting@2x.wav", "/greeting%402x.wav"),
    ("http://ALLOWED/a%20b.wav", "/a%20b.wav"),
    ("http://ALLOWED/a+b=c.wav", "/a+b=c.wav"),
    (
        "http://ALLOWED/a.wav?sig=a.b/c&x=+~",
        "/a.wav?sig=a%2Eb%2Fc&x=+~",
    ),
];

struct Stage {
    world: World,
    allowed: Origin,
    inside: Origin,
}

impl Stage {
    fn url(&self, form: &str) -> String {
        form.replace("ALLOWED", &self.allowed.address.to_string())
            .replace("HOST", &self.allowed.address.ip().to_string())
            .replace("INSIDE", &self.inside.address.to_string())
            .replace("PORT", &self.inside.address.port().to_string())
    }

    /// Returns the outcome of a URL: refused, or the host to which FreeSWITCH connected.
    async fn reached(&self, play: impl AsyncFnOnce() -> bool) -> String {
        let before = (self.allowed.connections(), self.inside.connections());
        if !play().await {
            return "refused".to_owned();
        }
        match (
            self.allowed.connections() > before.0,
            self.inside.connections() > before.1,
        ) {
            (true, false) => "allowed",
            (false, true) => "INSIDE",
            (true, true) => "allowed, INSIDE",
            (false, false) => "no server",
        }
        .to_owned()
    }
}

/// Starts a real FreeSWITCH, if one is installed.
async fn node() -> Option<FreeSwitch> {
    let Some(program) = installed() else {
        say("No FreeSWITCH is installed: no play URL was fetched by one.\n");
        return None;
    };
    let app = real_app();
    let settings = [
        ("RK_ESL_PASSWORD", "a-test-of-play-urls"),
        ("RK_ESL_ACL", "127.0.0.1/32"),
        ("RK_APP", app.as_str()),
    ];
    Some(FreeSwitch::start(program, &settings).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn freeswitch_fetches_only_from_the_checked_host() {
    let Some(node) = node().await else {
        return;
    };
    let setup = Setup {
        play: format!("allow_hosts = [\"{ALLOWED}\"]"),
        ..Setup::on(Store::Memory)
    };
    let switch = Switch::real(node.server.clone(), Line::Inbound);
    let stage = Stage {
        world: setup.start_with(switch).await,
        allowed: Origin::serve_sounds(ALLOWED).await,
        inside: Origin::serve_sounds(Ipv4Addr::LOCALHOST).await,
    };
    let world = &stage.world;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    let session = world.call("527121100").await;
    let room = world.room("urls").await;
    world.join(&session, &room).await;

    let path = format!("/conferences/{room}/play");
    let mut finished = 0;
    let mut play = async |url: &str| -> Option<Value> {
        let body = json!({ "urls": [url] });
        let answer = world.controller.ask("POST", &path, Some(&body)).await;
        if answer.status == 400 {
            return None;
        }
        assert_eq!(answer.status, 202, "{url}: {}", answer.body);
        finished += 1;
        let event = "conference.play.finished";
        let webhook = world.receiver.nth(&room, event, finished).await;
        Some(webhook.body["data"]["errors"].clone())
    };

    let mut table = String::from("\n| play URL | in a room | before a room |\n|---|---|---|\n");
    let mut reached = Vec::new();
    for form in DIFFERENTIALS {
        let url = stage.url(form);
        let in_room = stage.reached(async || play(&url).await.is_some()).await;
        let before_room = stage
            .reached(async || plays_before_a_room(world, &url).await)
            .await;
        let shown = form.escape_debug();
        writeln!(table, "| `{shown}` | {in_room} | {before_room} |").unwrap();
        reached.extend([(form, in_room), (form, before_room)]);
    }
    say(&table);
    let allowed = reached.iter().filter(|(_, to)| to == "allowed").count();
    assert!(allowed >= 60, "{allowed} reached their own server");
    for (form, to) in reached {
        assert!(
            ["allowed", "refused"].contains(&to.as_str()),
            "{form} reached {to}"
        );
    }
    assert_eq!(stage.inside.connections(), 0);

    for (form, path) in HONEST {
        let errors = play(&stage.url(form)).await;
        assert_eq!(errors, Some(json!([])), "{form}");
        let requests = stage.allowed.requests();
        assert_eq!(requests.last(), Some(&format!("GET {path}")), "{form}");
    }
}

/// Starts an allowed server that redirects `/inward…` to the internal one.
async fn redirecting(inside: &Origin) -> Origin {
    let inward = format!("http://{}/secret.wav", inside.address);
    Origin::start(ALLOWED, move |path| {
        Some(match path {
            "/missing.wav" => b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n".to_vec(),
            inwards if inwards.starts_with("/inward") => redirect(&inward),
            _ => sound("audio/x-wav", &wav(Duration::from_millis(200))),
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_inward_is_refused_by_the_media_proxy_and_reported_as_an_error() {
    let Some(node) = node().await else {
        return;
    };
    for is_proxied in [false, true] {
        let inside = Origin::serve_sounds(Ipv4Addr::LOCALHOST).await;
        let allowed = redirecting(&inside).await;
        let proxy = format!("127.0.0.1:{}", process::free_port());
        let mut play = format!("allow_hosts = [\"{ALLOWED}\"]\n");
        if is_proxied {
            write!(
                play,
                "proxy_url = \"http://{proxy}\"\nproxy_listen = \"{proxy}\""
            )
            .unwrap();
        }
        let setup = Setup {
            play,
            ..Setup::on(Store::Memory)
        };
        let switch = Switch::real(node.server.clone(), Line::Inbound);
        let world = setup.start_with(switch).await;
        world.controller.until_ready().await;
        world.controller.until_synced().await;
        let session = world.call("527121100").await;
        let room = world.room("proxied").await;
        world.join(&session, &room).await;

        let at = |path: &str| format!("http://{}{path}", allowed.address);
        let long = at(&format!("/{}.wav", "x".repeat(1_900)));
        let urls = [
            at("/greeting%402x.wav"),
            at("/inward.wav"),
            at("/missing.wav"),
            at("/greeting%402x.wav"),
            long.clone(),
            long,
        ];
        let path = format!("/conferences/{room}/play");
        let body = json!({ "urls": urls });
        let answer = world.controller.ask("POST", &path, Some(&body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let event = "conference.play.started";
        let started = world.receiver.first(&room, event).await;
        assert_eq!(started.body["data"]["urls"], json!(urls));
        let event = "conference.play.finished";
        let finished = world.receiver.first(&room, event).await;
        let errors = finished.body["data"]["errors"].as_array().unwrap().clone();
        let failed: Vec<&str> = errors.iter().map(|e| e["url"].as_str().unwrap()).collect();
        assert!(plays_before_a_room(&world, &at("/before.wav")).await);
        assert!(plays_before_a_room(&world, &at("/inward-before.wav")).await);

        let requests = allowed.requests();
        let count = |line: &str| requests.iter().filter(|request| *request == line).count();
        assert!(count("GET /inward.wav") > 0, "no redirect: {requests:?}");
        assert!(count("GET /before.wav") > 0, "{requests:?}");
        if is_proxied {
            assert_eq!(failed, [urls[1].as_str(), urls[2].as_str()]);
            assert_eq!(errors[0]["error"], "the file could not be played");
            assert_eq!(inside.requests(), Vec::<String>::new());
            assert_eq!(
                count("GET /greeting%402x.wav"),
                1,
                "the proxy did not cache the file: {requests:?}"
            );
            assert!(!requests.iter().any(|line| line.starts_with("HEAD")));
            let fetches = "roomkeeper_media_fetches_total";
            let forbidden = world.controller.metric(fetches, "outcome=\"forbidden\"");
            assert_eq!(forbidden.await, 2.0);
            // The node keeps no copy.
            let folder = node.folder("storage").join("http_file_cache");
            poll::until(
                "FreeSWITCH has deleted its copies",
                poll::TIMEOUT,
                async || {
                    let files = std::fs::read_dir(&folder).unwrap();
                    let files =
                        files.map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default());
                    let ours = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains("/media/");
                    (!files.into_iter().any(ours)).then_some(())
                },
            )
            .await;
        } else {
            // The reason for the media proxy: FreeSWITCH follows redirects.
            assert!(
                !inside.requests().is_empty(),
                "FreeSWITCH follows redirects"
            );
        }
        let (requests, refused) = (inside.requests().len(), failed.len());
        say(&format!(
            "Redirected inward, by the media proxy: {is_proxied}; requests inside: {requests}; files refused: {refused} of 6.\n"
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_warns_where_nodes_fetch_audio_themselves() {
    let proxy = format!("127.0.0.1:{}", process::free_port());
    let with = format!("proxy_url = \"http://{proxy}\"\nproxy_listen = \"{proxy}\"");
    for (play, warnings) in [(String::new(), 1), (with, 0)] {
        let setup = Setup {
            play,
            ..Setup::on(Store::Memory)
        };
        let world = setup.start().await;
        world.controller.until_ready().await;
        let log = world
            .controller
            .log_about(|line| line.contains("WARN") && line.contains("play.proxy_url is not set"));
        assert_eq!(log.lines().count(), warnings, "{log}");
    }
}

/// Plays the file to a call before it joins a room; returns false if it is refused.
async fn plays_before_a_room(world: &World, url: &str) -> bool {
    let actions = json!([{ "type": "play", "option": { "stream_urls": [url] } }]);
    let body = json!({ "node": world.node, "pre_actions": actions });
    let made = world
        .controller
        .ask("POST", "/v1.0/conferences", Some(&body))
        .await;
    if made.status == 400 {
        return false;
    }
    assert_eq!(made.status, 200, "{url}: {}", made.body);
    let id = made.body["id"].as_str().unwrap();
    let session = world.call("527121101").await;
    let body = json!({
        "conference_id": id,
        "reference_type": "call",
        "reference_id": world.channel(&session),
    });
    let answer = world
        .controller
        .ask("POST", "/v1.0/conferencecalls", Some(&body))
        .await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.body);
    let room = format!("{}-room-{id}", world.node);
    // A call whose file cannot be played does not join.
    poll::until("the file is over", poll::TIMEOUT, async || {
        let webhook = world.receiver.delivered(&room);
        webhook
            .iter()
            .any(|got| {
                ["conference.member.joined", "conference.member.join_failed"].contains(&got.event())
            })
            .then_some(())
    })
    .await;
    let answer = world.command(&session, "hangup", &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    true
}
