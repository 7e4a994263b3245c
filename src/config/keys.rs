//! Every key of the configuration with its default and its meaning, for the documentation and for suggestions for unknown
//! keys.
//!
//! `read` parses and checks the keys; tests ensure that both agree.

use std::fmt::Write;

/// The documentation of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyDoc {
    /// The path; `[]` stands for each element of a list.
    pub key: &'static str,
    /// The default, as a value or in words.
    pub default: &'static str,
    /// The meaning.
    pub meaning: &'static str,
}

const fn doc(key: &'static str, default: &'static str, meaning: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        default,
        meaning,
    }
}

/// All keys.
pub const KEYS: &[KeyDoc] = &[
    doc(
        "http.listen",
        "\"127.0.0.1:8080\"",
        "address of the APIs, the console and the documentation",
    ),
    doc(
        "http.admin_listen",
        "\"127.0.0.1:9090\"",
        "address of `/healthz`, `/readyz`, `/metrics`, `/admin/*` and the operator's console",
    ),
    doc(
        "http.admin_key",
        "none",
        "`X-Admin-API-Key`; this or `admin_key_file` is required unless `admin_listen` is loopback, where a key is generated if none is configured",
    ),
    doc(
        "http.admin_key_file",
        "none",
        "file with the admin key; if it does not exist, it is created with a random key. Without both keys see *The operator's listener*",
    ),
    doc(
        "http.allowed_hosts",
        "[]",
        "host names accepted by loopback listeners and by the pages of `http.listen`, besides addresses and `localhost`",
    ),
    doc(
        "http.trusted_proxies",
        "[]",
        "addresses or networks (`10.0.0.0/8`) of proxies: their connections are not limited by address, and their `X-Forwarded-For` names the client",
    ),
    doc(
        "http.connections_per_address",
        "1024",
        "connections of one address to a listener; at the limit, a new connection closes the address's oldest idle one, preferably one that never carried a valid key",
    ),
    doc(
        "http.hide_foreign",
        "false",
        "always answer 404 for another app's rooms and sessions",
    ),
    doc(
        "http.body_limit",
        "262144",
        "longest body of a request, in bytes",
    ),
    doc(
        "store.url",
        "\"redis://127.0.0.1:6379/0\"",
        "URL of the store; also `redis+sentinel://h1:26379,h2:26379/master/0`, `redis+cluster://h1:6379,h2:6379` and `memory:`, and with TLS `rediss` instead of `redis` (see *Redis*); user and password precede the hosts, `user:password@`",
    ),
    doc(
        "store.timeout_ms",
        "1000",
        "time limit of the store's answers, in milliseconds",
    ),
    doc(
        "store.tls_ca",
        "none",
        "PEM file of the CAs that sign the certificates of Redis; by default those of the system. Only with TLS, like the next two",
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
        "webhooks that may wait for one receiver on one node; near the limit the app's changes get 503, beyond it events are lost and counted",
    ),
    doc(
        "play.allow_hosts",
        "[]",
        "hosts that audio may be played from; empty: any public host",
    ),
    doc(
        "play.allow_private",
        "false",
        "allow audio from private and loopback addresses",
    ),
    doc(
        "play.proxy_url",
        "none",
        "base URL by which the nodes reach `play.proxy_listen` of any replica, as in `http://10.0.0.5:8082`; with it FreeSWITCH fetches audio only from Roomkeeper (see *Media proxy*), without it from the audio's own server",
    ),
    doc(
        "play.proxy_listen",
        "\"127.0.0.1:8082\"",
        "address of the media proxy, for the nodes only",
    ),
    doc(
        "play.proxy_bytes",
        "536870912",
        "bytes of audio that the media proxy may hold on disk, in the folder for temporary files; a single file may have a sixteenth of it",
    ),
    doc(
        "calls.park_timeout",
        "3600",
        "seconds after which the node itself hangs up a parked call",
    ),
    doc(
        "dial.number",
        "none",
        "dial string for numbers with `${number}` in it, as in `sofia/gateway/trunk/${number}`; without it no app can call a number (see *Calls to the outside*)",
    ),
    doc(
        "dial.address",
        "none",
        "dial string for SIP addresses with `${address}` in it, as in `sofia/external/${address}`",
    ),
    doc(
        "dial.max_per_app",
        "20",
        "dial-outs of an app that may be in progress",
    ),
    doc(
        "dial.allow[].app",
        "required",
        "app that may call these destinations, or `*` for all apps; without an entry no app can call anybody",
    ),
    doc(
        "dial.allow[].numbers",
        "[]",
        "beginnings of allowed numbers, as in `+49`, or `*`",
    ),
    doc(
        "dial.allow[].domains",
        "[]",
        "hosts of allowed SIP addresses",
    ),
    doc(
        "dial.allow[].contexts",
        "[]",
        "dialplan contexts of the nodes; the app may transfer calls to their extensions",
    ),
    doc(
        "dial.allow[].callers",
        "[]",
        "beginnings of the callers' numbers that the app may show; empty: any number, or none",
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
        "seconds within which FreeSWITCH must confirm a join",
    ),
    doc(
        "conference.action_timeout",
        "300",
        "seconds that one file or text of an action may take",
    ),
    doc(
        "conference.keep_ended",
        "3600",
        "seconds for which conferences and their calls can be read after their end",
    ),
    doc(
        "recording.directory",
        "\"/var/lib/freeswitch/recordings\"",
        "directory of recordings, an absolute path on the nodes",
    ),
    doc(
        "recording.keep",
        "2592000",
        "seconds for which a recording is listed after its end; its file is not deleted",
    ),
    doc(
        "speech.module",
        "\"mod_flite\"",
        "module that a node must have loaded to speak texts",
    ),
    doc("speech.engine", "\"flite\"", "name of the speech engine"),
    doc("speech.voice", "\"kal\"", "voice of the speech engine"),
    doc(
        "speech.voices",
        "[]",
        "further voices of the speech engine that a request may name",
    ),
    doc(
        "fleet.command_timeout",
        "5",
        "seconds within which FreeSWITCH must answer a command",
    ),
    doc(
        "fleet.lost_after",
        "120",
        "seconds without a connection after which a node is lost: its members leave, its calls end",
    ),
    doc(
        "fleet.recovery_timeout",
        "0",
        "seconds after a restart of FreeSWITCH within which it must bring back its calls (see *Calls outlive FreeSWITCH*); 0: they end at once",
    ),
    doc(
        "fleet.lease_ttl",
        "10",
        "seconds after which another replica takes over the nodes of a dead one; at least three times `store.timeout_ms`",
    ),
    doc(
        "fleet.resync_interval",
        "45",
        "seconds between two snapshots of a node, a third more or less",
    ),
    doc(
        "fleet.nudge",
        "\"adaptive\"",
        "wake-ups that make FreeSWITCH send its events at once (see *Latency of events*): `\"adaptive\"`, only during activity; 1 to 19, always at this interval in milliseconds; `\"off\"`",
    ),
    doc(
        "relay.key",
        "none",
        "key of calls between the nodes, the same as `RK_RELAY_KEY` of each (see *Test the way between two nodes*): 16 to 128 letters, digits and `.`, `_`, `-`; required if a node has `relay`",
    ),
    doc(
        "limits.app_rate",
        "50",
        "requests per second of an app without its own limit; 0: unlimited",
    ),
    doc(
        "limits.cooldowns",
        "true",
        "enforce the documented pause between two commands of a group to the same room or session",
    ),
    doc(
        "limits.app_bytes",
        "268435456",
        "bytes that an app may have in the store (see *Quotas*): rooms and calls, alive or kept, and webhooks that wait or were given up; beyond it its changes get 429; 0: unlimited",
    ),
    doc(
        "audit.max_entries",
        "100000",
        "entries of the audit log that are kept of the operator, and as many of all apps together (see *The audit log*); the oldest are dropped first; 0: no log",
    ),
    doc(
        "audit.keep",
        "7776000",
        "seconds for which entries of the audit log are kept",
    ),
    doc(
        "log.format",
        "\"text\"",
        "`text`, or `json` with one object a line",
    ),
    doc(
        "log.filter",
        "\"info\"",
        "filter of log messages, as in `info,roomkeeper::webhook=debug`",
    ),
    doc(
        "telemetry.otlp_endpoint",
        "none",
        "collector of traces, OTLP over HTTP, as in `http://collector:4318`; needs a build with `--features otlp`",
    ),
    doc(
        "telemetry.sample_ratio",
        "none",
        "share of the traces started here that is sent, 0 to 1; by default `OTEL_TRACES_SAMPLER` decides, else all",
    ),
    doc(
        "nodes[].id",
        "required",
        "5 characters of A-Z a-z 0-9; must never change, because it is part of every id",
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
        "`fleet.nudge` for this node",
    ),
    doc(
        "nodes[].relay",
        "none",
        "`host:port` where the other nodes reach its SIP profile `relays`: a name or an IPv4 address; no room spans nodes yet, but the way can be tested",
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
        "API key, or a list of two while one is being replaced; one here or in `api_key_sha256` is required",
    ),
    doc(
        "apps[].api_key_sha256",
        "none",
        "SHA-256 of the API key in hexadecimal, so that the file contains no key",
    ),
    doc(
        "apps[].dids",
        "[]",
        "dialled numbers whose calls belong to the app",
    ),
    doc(
        "apps[].rate_limit",
        "that of `limits.app_rate`",
        "requests per second of the app",
    ),
    doc(
        "apps[].webhooks[].url",
        "required",
        "URL of a receiver of the app's events",
    ),
    doc(
        "apps[].webhooks[].secret",
        "required",
        "`whsec_…`, or a list of two while one is being replaced",
    ),
    doc(
        "apps[].webhooks[].events",
        "[\"*\"]",
        "names and prefixes of the events for this receiver, as in `conference.member.*`",
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
