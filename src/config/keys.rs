//! Every key of the configuration with its default and its meaning: what the documentation shows,
//! and what an unknown key is compared with.
//!
//! Leaves out the reading of a key and the checks on it (`read`); that the two agree is tested.

use std::fmt::Write;

/// One key, for the documentation and for telling known keys from unknown ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyDoc {
    /// Its path; `[]` stands for each element of a list.
    pub key: &'static str,
    /// What holds without it, as it would be written, or in words.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn doc(key: &'static str, default: &'static str, meaning: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        default,
        meaning,
    }
}

/// Every key there is.
pub const KEYS: &[KeyDoc] = &[
    doc(
        "http.listen",
        "\"127.0.0.1:8080\"",
        "address of the APIs, the console and the documentation",
    ),
    doc(
        "http.admin_listen",
        "\"127.0.0.1:9090\"",
        "address of `/healthz`, `/readyz`, `/metrics` and `/admin/*`",
    ),
    doc(
        "http.admin_key",
        "none",
        "`X-Admin-API-Key`; this or `admin_key_file` is required unless `admin_listen` is loopback, where a key is made if none is given",
    ),
    doc(
        "http.admin_key_file",
        "none",
        "file with the admin key; made with a random one if it is not there. For the one without both keys see *The operator's listener*",
    ),
    doc(
        "http.allowed_hosts",
        "[]",
        "names that a listener on loopback, and the pages of `http.listen`, may be called by, besides addresses and `localhost`",
    ),
    doc(
        "http.trusted_proxies",
        "[]",
        "addresses or networks (`10.0.0.0/8`) of proxies: their connections are not limited by address, and their `X-Forwarded-For` names the client",
    ),
    doc(
        "http.connections_per_address",
        "1024",
        "connections that one address may have to a listener; for one more, its oldest idle one is closed, first of all one that never carried a valid key",
    ),
    doc(
        "http.hide_foreign",
        "false",
        "answer 404 for another app's rooms and sessions, always",
    ),
    doc(
        "http.body_limit",
        "262144",
        "longest body of a request, in bytes",
    ),
    doc(
        "store.url",
        "\"redis://127.0.0.1:6379/0\"",
        "where state lives; also `redis+sentinel://h1:26379,h2:26379/master/0`, `redis+cluster://h1:6379,h2:6379` and `memory:`, and with TLS `rediss` instead of `redis` (see *Redis*); a user and a password go before the hosts, `user:password@`",
    ),
    doc(
        "store.timeout_ms",
        "1000",
        "how long the store has to answer, in milliseconds",
    ),
    doc(
        "store.tls_ca",
        "none",
        "PEM file of the authorities that sign the certificates of Redis; without it the system's. Only with TLS, like the next two",
    ),
    doc(
        "store.tls_cert",
        "none",
        "PEM file of the certificate that identifies this client to Redis, with its intermediates; only with `store.tls_key`",
    ),
    doc(
        "store.tls_key",
        "none",
        "PEM file of the private key of `store.tls_cert`, not encrypted",
    ),
    doc(
        "webhooks.allow_http",
        "false",
        "allow receivers without TLS",
    ),
    doc(
        "webhooks.allow_private",
        "false",
        "allow receivers at private and loopback addresses",
    ),
    doc(
        "webhooks.max_pending",
        "100000",
        "how many webhooks may wait for one receiver on one node; near it the app's changes get 503, beyond it events are lost and counted",
    ),
    doc(
        "play.allow_hosts",
        "[]",
        "hosts that audio may be played from; empty: any public one",
    ),
    doc(
        "play.allow_private",
        "false",
        "allow audio from private and loopback addresses",
    ),
    doc(
        "play.proxy_url",
        "none",
        "base URL by which the nodes reach `play.proxy_listen` of any replica, as in `http://10.0.0.5:8082`; with it FreeSWITCH fetches audio from Roomkeeper alone (see *Media proxy*), without it from the server itself",
    ),
    doc(
        "play.proxy_listen",
        "\"127.0.0.1:8082\"",
        "address of the media proxy; for the nodes, and for nobody else",
    ),
    doc(
        "play.proxy_bytes",
        "536870912",
        "how many bytes of audio the media proxy may hold on disk, in the folder for temporary files; one file has a sixteenth of it at most",
    ),
    doc(
        "calls.park_timeout",
        "3600",
        "after so many seconds in park a call is hung up, by the node itself",
    ),
    doc(
        "conference.profile",
        "\"roomkeeper\"",
        "profile of rooms in the nodes' `conference.conf.xml`",
    ),
    doc(
        "conference.connect_profile",
        "\"roomkeeper-connect\"",
        "profile of conferences of the type `connect`",
    ),
    doc(
        "conference.join_timeout",
        "10",
        "seconds in which FreeSWITCH must confirm a join",
    ),
    doc(
        "conference.action_timeout",
        "300",
        "seconds that one file or text of an action may take",
    ),
    doc(
        "conference.keep_ended",
        "3600",
        "seconds for which conferences and their calls can be read after they are over",
    ),
    doc(
        "recording.directory",
        "\"/var/lib/freeswitch/recordings\"",
        "where the nodes write recordings, an absolute path there",
    ),
    doc(
        "recording.keep",
        "2592000",
        "seconds for which a recording is listed after its end; its file is not touched",
    ),
    doc(
        "speech.module",
        "\"mod_flite\"",
        "module that must be loaded on a node for it to speak texts",
    ),
    doc(
        "speech.engine",
        "\"flite\"",
        "name of the engine that speaks",
    ),
    doc("speech.voice", "\"kal\"", "voice of the engine that speaks"),
    doc(
        "fleet.command_timeout",
        "5",
        "seconds in which FreeSWITCH must answer a command",
    ),
    doc(
        "fleet.lost_after",
        "120",
        "seconds without a connection after which a node is lost: its members leave, its calls end",
    ),
    doc(
        "fleet.lease_ttl",
        "10",
        "seconds after which another replica takes over the nodes of one that is gone; at least three times `store.timeout_ms`",
    ),
    doc(
        "fleet.resync_interval",
        "45",
        "seconds between two snapshots of a node, a third more or less",
    ),
    doc(
        "fleet.nudge",
        "\"adaptive\"",
        "whether FreeSWITCH is made to tell its events at once (see *Latency of events*): `\"adaptive\"`, while something happens; 1 to 19, every so many milliseconds, always; `\"off\"`",
    ),
    doc(
        "limits.app_rate",
        "50",
        "requests a second that an app without a limit of its own may make; 0: any number",
    ),
    doc(
        "limits.cooldowns",
        "true",
        "keep the documented time between two commands of a group to the same room or session",
    ),
    doc(
        "limits.app_bytes",
        "268435456",
        "bytes that an app may have in the store (see *Quotas*): rooms and calls, alive or kept, and webhooks that wait or were given up; beyond it its changes get 429; 0: any number",
    ),
    doc(
        "log.format",
        "\"text\"",
        "`text`, or `json` with one object a line",
    ),
    doc(
        "log.filter",
        "\"info\"",
        "what is logged, as in `info,roomkeeper::webhook=debug`",
    ),
    doc(
        "telemetry.otlp_endpoint",
        "none",
        "collector that traces are sent to by OTLP over HTTP, as in `http://collector:4318`; needs a build with `--features otlp`",
    ),
    doc(
        "telemetry.sample_ratio",
        "none",
        "share of the traces that begin here that is sent, 0 to 1; without it as `OTEL_TRACES_SAMPLER` says, else all",
    ),
    doc(
        "nodes[].id",
        "required",
        "5 characters of A-Z a-z 0-9; never changes, for it is part of every id",
    ),
    doc(
        "nodes[].address",
        "required",
        "`host:port` of its event socket",
    ),
    doc(
        "nodes[].password",
        "required",
        "password of its event socket",
    ),
    doc(
        "nodes[].nudge",
        "that of `fleet.nudge`",
        "the same for one node",
    ),
    doc(
        "apps[].id",
        "required",
        "1 to 64 characters of A-Z a-z 0-9 _ -",
    ),
    doc(
        "apps[].customer_id",
        "derived from the id",
        "the app's uuid in the VoIPBIN API",
    ),
    doc(
        "apps[].api_key",
        "none",
        "its key, or a list of two while one is being replaced; one here or in `api_key_sha256` is required",
    ),
    doc(
        "apps[].api_key_sha256",
        "none",
        "the same as SHA-256 in hexadecimal, so that the file holds no key",
    ),
    doc(
        "apps[].dids",
        "[]",
        "dialled numbers whose calls are the app's",
    ),
    doc(
        "apps[].rate_limit",
        "that of `limits.app_rate`",
        "requests a second that the app may make",
    ),
    doc(
        "apps[].webhooks[].url",
        "required",
        "a receiver of the app's events",
    ),
    doc(
        "apps[].webhooks[].secret",
        "required",
        "`whsec_…`, or a list of two while one is being replaced",
    ),
    doc(
        "apps[].webhooks[].events",
        "[\"*\"]",
        "names and prefixes of the events it gets, as in `conference.member.*`",
    ),
];

/// [`KEYS`] as a table for the documentation.
pub fn key_table_markdown() -> String {
    let mut table = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in KEYS {
        let is_value = matches!(key.default, "true" | "false")
            || key
                .default
                .starts_with(|c: char| matches!(c, '"' | '[') || c.is_ascii_digit());
        let quote = if is_value { "`" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {quote}{}{quote} | {} |",
            key.key, key.default, key.meaning
        );
    }
    table
}
