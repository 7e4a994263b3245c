//! The configuration as text for the operator, without passwords, keys and secrets.

use std::fmt::{self, Write};

use secrecy::ExposeSecret;

use crate::telemetry::{LogFormat, TelemetryConfig};

use super::types::{Config, HttpConfig};

impl Config {
    /// Describes the configuration for the operator, without passwords, keys and secrets.
    pub fn summary(&self) -> String {
        let mut s = String::new();
        // Writing to a String does not fail.
        let _ = self.write_summary(&mut s);
        s
    }

    fn write_summary(&self, s: &mut String) -> fmt::Result {
        self.write_http(s)?;
        self.write_store(s)?;
        self.write_play(s)?;
        self.write_rooms(s)?;
        self.write_fleet(s)?;
        self.write_telemetry(s)?;
        self.write_nodes(s)?;
        self.write_apps(s)
    }

    fn write_http(&self, s: &mut String) -> fmt::Result {
        let HttpConfig {
            listen,
            admin_listen,
            admin_key,
            admin_key_file,
            allowed_hosts,
            trusted_proxies,
            connections_per_address,
            hide_foreign,
            body_limit,
        } = &self.http;
        let key = match (admin_key, admin_key_file) {
            (Some(_), _) => "set".to_owned(),
            (None, Some(file)) => format!("in {}", file.display()),
            (None, None) => "made at start".to_owned(),
        };
        writeln!(
            s,
            "http: {listen}, admin {admin_listen} (key: {key}), hide_foreign {hide_foreign}, body_limit {body_limit}"
        )?;
        let proxies: Vec<String> = trusted_proxies.iter().map(ToString::to_string).collect();
        writeln!(
            s,
            "http: allowed_hosts [{}], trusted_proxies [{}], connections_per_address {connections_per_address}",
            allowed_hosts.join(", "),
            proxies.join(", ")
        )?;
        Ok(())
    }

    fn write_store(&self, s: &mut String) -> fmt::Result {
        write!(
            s,
            "store: {}, timeout {:?}",
            redacted_url(self.store.url.expose_secret()),
            self.store.timeout
        )?;
        match &self.store.tls {
            Some(tls) => writeln!(s, ", {tls}")?,
            None => writeln!(s)?,
        }
        writeln!(
            s,
            "webhooks: {}, at most {} pending",
            self.webhooks, self.store.queues.pending
        )?;
        Ok(())
    }

    fn write_play(&self, s: &mut String) -> fmt::Result {
        let hosts = match self.play.allow_hosts.as_slice() {
            [] => "any host".to_owned(),
            hosts => hosts.join(", "),
        };
        let proxy = match &self.play.proxy {
            Some(proxy) => format!(
                "proxy {} at {}, at most {} bytes",
                proxy.url, proxy.listen, proxy.bytes
            ),
            None => "no proxy".to_owned(),
        };
        writeln!(
            s,
            "play: {hosts}, allow_private {}, {proxy}",
            self.play.allow_private
        )?;
        Ok(())
    }

    fn write_dial(&self, s: &mut String) -> fmt::Result {
        let rules = &self.dial.rules;
        let route = |has: bool| if has { "set" } else { "none" };
        writeln!(
            s,
            "dial: number {}, address {}, {} permissions, at most {} per app",
            route(rules.numbers_have_route),
            route(rules.addresses_have_route),
            rules.permissions.len(),
            self.dial.max_per_app
        )
    }

    fn write_rooms(&self, s: &mut String) -> fmt::Result {
        writeln!(s, "calls: park_timeout {:?}", self.calls.park_timeout)?;
        self.write_dial(s)?;
        writeln!(
            s,
            "conference: profile {}, connect_profile {}, join_timeout {:?}, action_timeout {:?}, keep_ended {:?}",
            self.conference.profile,
            self.conference.connect_profile,
            self.conference.join_timeout,
            self.conference.action_timeout,
            self.conference.keep_ended
        )?;
        writeln!(
            s,
            "recording: directory {}, keep {:?}",
            self.recording.directory, self.recording.keep
        )?;
        let others = match self.speech.voices.as_slice() {
            [] => String::new(),
            voices => format!(", other voices {}", voices.join(", ")),
        };
        writeln!(
            s,
            "speech: module {}, engine {}, voice {}{}",
            self.speech.module, self.speech.engine, self.speech.voice, others
        )?;
        Ok(())
    }

    fn write_fleet(&self, s: &mut String) -> fmt::Result {
        writeln!(
            s,
            "fleet: command_timeout {:?}, lost_after {:?}, recovery_timeout {:?}, lease_ttl {:?}, resync_interval {:?}, nudge {}",
            self.fleet.command_timeout,
            self.fleet.lost_after,
            self.fleet.recovery_timeout,
            self.fleet.lease_ttl,
            self.fleet.resync_interval,
            self.fleet.nudge
        )?;
        writeln!(
            s,
            "limits: app_rate {}, cooldowns {}, app_bytes {}",
            self.limits.app_rate, self.limits.cooldowns, self.limits.app_bytes
        )?;
        writeln!(
            s,
            "audit: max_entries {}, keep {:?}",
            self.audit.max_entries, self.audit.keep
        )?;
        Ok(())
    }

    fn write_telemetry(&self, s: &mut String) -> fmt::Result {
        let format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(s, "log: {format}, filter {}", self.log.filter)?;
        let TelemetryConfig {
            otlp_endpoint,
            asked_by_environment,
            sample_ratio,
        } = &self.telemetry;
        let traces = match (otlp_endpoint, asked_by_environment) {
            (Some(endpoint), _) => redacted_url(endpoint.as_str()),
            (None, true) if cfg!(feature = "otlp") => "as OTEL_* says".to_owned(),
            (None, _) => "none".to_owned(),
        };
        match sample_ratio {
            Some(ratio) if traces != "none" => writeln!(s, "traces: {traces}, share {ratio}")?,
            Some(_) | None => writeln!(s, "traces: {traces}")?,
        }
        Ok(())
    }

    fn write_nodes(&self, s: &mut String) -> fmt::Result {
        if self.relay_key.is_some() {
            writeln!(s, "relay: key set")?;
        }
        for node in &self.nodes {
            write!(s, "node {}: {}, password set", node.id, node.address)?;
            if node.nudge != self.fleet.nudge {
                write!(s, ", nudge {}", node.nudge)?;
            }
            if let Some(relay) = &node.relay {
                write!(s, ", relay {relay}")?;
            }
            writeln!(s)?;
        }
        Ok(())
    }

    fn write_apps(&self, s: &mut String) -> fmt::Result {
        for app in &self.apps {
            writeln!(
                s,
                "app {}: customer_id {}, {} active key(s), dids [{}]{}",
                app.id,
                app.customer_id,
                app.api_keys.len(),
                app.dids.join(", "),
                app.rate_limit
                    .map_or_else(String::new, |limit| format!(", rate_limit {limit}"))
            )?;
            for hook in &app.webhooks {
                let events: Vec<String> = hook.events.iter().map(ToString::to_string).collect();
                writeln!(
                    s,
                    "  webhook {}: {}, {} secret(s), events [{}]",
                    hook.id,
                    redacted_url(hook.url.as_str()),
                    hook.secrets.len(),
                    events.join(", ")
                )?;
            }
        }
        Ok(())
    }
}

/// Removes user info and query from a URL: both can be secret.
fn redacted_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://[REDACTED]@{rest}"),
            None => format!("{scheme}://{rest}"),
        },
        None => url.to_owned(),
    }
}
