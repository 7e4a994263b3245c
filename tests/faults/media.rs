//! Play URLs that lead to forbidden addresses.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::program::media::{Origin, redirect};
use crate::program::poll;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Stage, until_metric};
use crate::support::process;

rows![35 play_url_leads_to_internal_address(real)];

const FETCHES: &str = "roomkeeper_media_fetches_total";

/// The permitted host. All other addresses of this machine represent internal ones.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn play_url_leads_to_internal_address(stage: &Stage) -> Report {
    let internal = Origin::serve_sounds(Ipv4Addr::LOCALHOST).await;
    let (at, port) = (internal.address, internal.address.port());
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
            ..Setup::with_short_timeouts(Store::Redis)
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
            // The simulated node fetches nothing, so the test fetches the link, with redirects.
            let link = poll::until("the node has the link", poll::TIMEOUT, async || {
                let reply = world.fs(&status).await;
                let link = reply.trim().rsplit(' ').next()?;
                link.starts_with(&proxy).then(|| format!("http://{link}"))
            })
            .await;
            let answer = client.get(&link).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 403, "{url}");
        }
        let event = "conference.play.finished";
        let finished = world.receiver.nth(&scene.room, event, nth + 1).await;
        if stage.server.is_some() {
            assert_eq!(finished.body["data"]["errors"].as_array().unwrap().len(), 1);
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
        "the permitted server gets one request for each URL"
    );
    assert_eq!(internal.connections(), 0, "{:?}", internal.requests());
    scene
        .report(
            format!("URLs to internal addresses: {refused}, redirects: {redirected}"),
            "no connection to a forbidden address, each refusal counted; I1 I3",
            None,
        )
        .await
}
