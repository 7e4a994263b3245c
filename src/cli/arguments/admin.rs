//! The arguments of `nodes`, `app` and `audit`, which use the admin listener.

use clap::{ArgAction, Subcommand};
use jiff::{Timestamp, Zoned};

use roomkeeper_core::ids::{AppId, NodeId};

use super::access::AdminOptions;
use super::output::View;

/// The command for nodes.
#[derive(clap::Args, Debug)]
pub struct NodesOptions {
    /// The connection.
    #[command(flatten)]
    pub access: AdminOptions,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The command.
    #[command(subcommand)]
    pub command: Option<NodeArguments>,
}

/// A command for a node.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum NodeArguments {
    /// Stops creating rooms on a node. Present rooms and calls stay until they end.
    #[command(after_help = wait_help!("nodes drain acW68", "nodes drain acW68 --wait"))]
    Drain {
        /// The node's id.
        node_id: NodeId,
        /// Waits until the node is empty and shows the progress; Ctrl-C ends the wait, but not the drain.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
    /// Creates rooms on a node again.
    #[command(after_help = client_help!("nodes undrain acW68"))]
    Undrain {
        /// The node's id.
        node_id: NodeId,
    },
    /// Compares a node with a snapshot now.
    #[command(after_help = wait_help!("nodes resync acW68 --wait"))]
    Resync {
        /// The node's id.
        node_id: NodeId,
        /// Waits until the comparison is complete.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
    /// Tests the way for calls from one node to another, or to every other one. No app sees these calls.
    #[command(after_help = client_help!("nodes relay-test acW68", "nodes relay-test acW68 bdX79"))]
    RelayTest {
        /// The calling node's id.
        from: NodeId,
        /// The called node's id; if omitted, every other node that has a relay address.
        to: Option<NodeId>,
    },
}

/// The command for apps.
#[derive(clap::Args, Debug)]
pub struct AppOptions {
    /// The connection.
    #[command(flatten)]
    pub access: AdminOptions,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The command.
    #[command(subcommand)]
    pub command: AppArguments,
}

/// A command for apps.
#[derive(Subcommand, Debug)]
pub enum AppArguments {
    /// Creates an app and shows its key, only this once.
    #[command(after_help = client_help!("app add demo --did 747713001", "app add demo --webhook-url https://app.example.com/hook"))]
    Add {
        /// 1 to 64 characters of A-Z a-z 0-9 _ -
        app_id: AppId,
        /// A dialled number whose calls belong to the app; can be repeated.
        #[arg(long = "did", value_name = "NUMBER")]
        dids: Vec<String>,
        /// The app's UUID in the VoIPBIN API; derived from its id if omitted.
        #[arg(long, value_name = "UUID")]
        customer_id: Option<String>,
        /// The app's rate limit in requests per second; the configured default if omitted.
        #[arg(long, value_name = "N")]
        rate_limit: Option<u32>,
        /// The URL of its webhook endpoint. The signing secret is shown only this once.
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
    },
    /// Shows all apps, without their keys.
    #[command(after_help = client_help!("app list", "app list --json"))]
    List,
    /// Shows an app, without its keys.
    #[command(after_help = client_help!("app show demo"))]
    Show {
        /// The app's id.
        app_id: AppId,
    },
    /// Creates another key for an app and shows it, only this once. The previous key stays valid, older ones do not.
    #[command(after_help = client_help!("app rotate-key demo"))]
    RotateKey {
        /// The app's id.
        app_id: AppId,
    },
    /// Sets an app's rate limit in requests per second.
    #[command(after_help = client_help!("app rate-limit demo 200", "app rate-limit demo"))]
    RateLimit {
        /// The app's id.
        app_id: AppId,
        /// The rate limit; the configured default if omitted.
        #[arg(value_name = "N")]
        rate_limit: Option<u32>,
    },
    /// Replaces the dialled numbers of an app. Calls to a number that is given belong to the app.
    #[command(after_help = client_help!("app set-dids demo 747713001 747713002", "app set-dids demo --none"))]
    SetDids {
        /// The app's id.
        app_id: AppId,
        /// The dialled numbers.
        #[arg(value_name = "NUMBER", required_unless_present = "none")]
        dids: Vec<String>,
        /// Removes all dialled numbers.
        #[arg(long, conflicts_with = "dids")]
        none: bool,
    },
    /// Disables an app's keys. Its calls stay up.
    #[command(after_help = client_help!("app disable demo"))]
    Disable {
        /// The app's id.
        app_id: AppId,
    },
    /// Enables a disabled app: its keys are valid again.
    #[command(after_help = client_help!("app enable demo"))]
    Enable {
        /// The app's id.
        app_id: AppId,
    },
    /// Deletes an app.
    #[command(after_help = client_help!("app delete demo --yes", "app delete demo --force --yes"))]
    Delete {
        /// The app's id.
        app_id: AppId,
        /// Deletes it also while it has rooms or calls.
        #[arg(long)]
        force: bool,
        /// Deletes it without a question.
        #[arg(long, short)]
        yes: bool,
    },
}

/// The entries of the audit log to show.
#[derive(clap::Args, Debug)]
pub struct AuditOptions {
    /// The connection.
    #[command(flatten)]
    pub access: AdminOptions,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// Only entries about this app.
    #[arg(long, value_name = "APP_ID")]
    pub app_id: Option<AppId>,
    /// Only entries of this action.
    #[arg(long)]
    pub action: Option<String>,
    /// Only entries of this actor.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only entries since this time: RFC 3339, or a time before now such as 1h or 2d.
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    pub since: Option<Timestamp>,
    /// Only entries until this time: RFC 3339, or a time before now such as 1h or 2d.
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    pub until: Option<Timestamp>,
    /// The number of entries.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

/// Parses a point in time: RFC 3339, or a span before now, such as `1h`.
fn point_in_time(text: &str) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str = "expected RFC 3339 such as 2026-05-06T12:00:00Z, or a time before now such as 30m, 1h or 2d";
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let span: jiff::Span = text.parse().map_err(|_| EXPECTED)?;
    let at = Zoned::now().checked_sub(span.abs()).map_err(|_| EXPECTED)?;
    Ok(at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rfc_3339_or_span_before_now() {
        let exact = point_in_time("2026-05-06T12:00:00Z").unwrap();
        assert_eq!(exact.to_string(), "2026-05-06T12:00:00Z");
        for (text, seconds) in [("90s", 90), ("1h", 3_600), ("1d 1h", 90_000)] {
            let ago = Timestamp::now().duration_since(point_in_time(text).unwrap());
            // A day of the local zone may have another length.
            assert!((ago.as_secs() - seconds).abs() <= 3_700, "{text}: {ago}");
        }
        for text in ["", "soon", "12", "2026-05-06"] {
            assert!(point_in_time(text).is_err(), "{text}");
        }
    }
}
