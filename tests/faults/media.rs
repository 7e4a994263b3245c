//! Play URLs that lead where they must not.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::program::media::{Origin, redirect};
use crate::program::poll;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Stage, until_metric};
use crate::support::process;

rows![35 play_url_that_leads_inside(real)];

const FETCHES: &str = "roomkeeper_media_fetches_total";

/// The host that may be played from; all other addresses of this machine stand for those inside.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn play_url_that_leads_inside(stage: &Stage) -> Report {
    let inside = Origin::of_sounds(Ipv4Addr::LOCALHOST).await;
    let (at, port) = (inside.address, inside.address.port());
    let allowed = Origin::start(ALLOWED, move |path| {
        Some(redirect(&match path {
            "/address.wav" => format!("http://{at}/secret.wav"),
            "/name.wav" => format!("http://localhost:{port}/secret.wav"),
            "/number.wav" => format!("http://2130706433:{port}/secret.wav"),
            "/metadata.wav" => "http://169.254.169.254/latest/meta-data".to_owned(),
            _ => format!("//{at}/secret.wav"),
        }))
    })
    .await;
    let proxy = format!("127.0.0.1:{}", process::free_port());
    let scene = stage
        .scene(Setup {
            play: format!(
                "allow_hosts = [\"{ALLOWED}\"]\nproxy_url = \"http://{proxy}\"\nproxy_listen = \"{proxy}\""
            ),
            ..Setup::impatient(Store::Redis)
        })
        .await;
    let world = &scene.world;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = format!("/conferences/{}/play", scene.room);
    let status = format!("conference {} play_status", scene.room);

    let from = allowed.address;
    let urls = [
        format!("http://{from}/address.wav"),
        format!("http://{from}/name.wav"),
        format!("http://{from}/number.wav"),
        format!("http://{from}/metadata.wav"),
        format!("http://{from}/@{at}/x.wav"),
        format!("http://{from}/?x=@{at}/x.wav"),
        format!("http://{from}/user:pass@{at}/x.wav"),
    ];
    for (nth, url) in urls.iter().enumerate() {
        let body = json!({ "urls": [url] });
        let answer = world.controller.ask("POST", &path, Some(&body)).await;
        assert_eq!(answer.status, 202, "{url}: {}", answer.body);
        if stage.server.is_none() {
            // The simulated node fetches nothing: the test follows the link in its place, redirects included.
            let link = poll::until("the node has the link", poll::PATIENCE, async || {
                let said = world.fs(&status).await;
                let link = said.trim().rsplit(' ').next()?;
                link.starts_with(&proxy).then(|| format!("http://{link}"))
            })
            .await;
            let answer = client.get(&link).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 403, "{url}");
        }
        let event = "conference.play.finished";
        let told = world.receiver.nth(&scene.room, event, nth + 1).await;
        if stage.server.is_some() {
            assert_eq!(told.body["data"]["errors"].as_array().unwrap().len(), 1);
        }
    }
    let refused = urls.len();
    until_metric(
        &world.controller,
        FETCHES,
        "outcome=\"forbidden\"",
        refused as f64,
    )
    .await;
    let redirected = allowed.requests().len();
    assert_eq!(
        redirected, refused,
        "each was fetched from its own server, once"
    );
    assert_eq!(inside.connections(), 0, "{:?}", inside.requests());
    scene
        .report(
            format!("URLs that lead inside: {refused}, redirects: {redirected}"),
            "no connection to a forbidden address, each counted; I1 I3",
            None,
        )
        .await
}
