//! The arguments of `webhook`.

use clap::Subcommand;
use url::Url;

use super::access::ApiOptions;
use super::output::IdView;

/// The command for webhook endpoints.
#[derive(clap::Args, Debug)]
pub struct WebhookOptions {
    /// The connection.
    #[command(flatten)]
    pub access: ApiOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The command.
    #[command(subcommand)]
    pub command: WebhookArguments,
}

/// The id or URL of a webhook endpoint.
#[derive(clap::Args, Clone, Debug)]
pub struct WebhookReference {
    /// The endpoint: its URL, its id, or a unique prefix of its id.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
}

/// A command for webhook endpoints.
#[derive(Subcommand, Debug)]
pub enum WebhookArguments {
    /// Shows all endpoints.
    #[command(after_help = client_help!("webhook list", "webhook list --json"))]
    List,
    /// Creates an endpoint and shows its signing secret, only this once.
    #[command(after_help = client_help!("webhook add https://app.example.com/hook", "webhook add https://app.example.com/calls --event 'call.*'"))]
    Add {
        /// The URL that events are posted to.
        url: Url,
        /// Only events with these names or prefixes: `conference.member.*,call.*`; can be repeated.
        #[arg(long = "event", value_name = "NAMES", value_delimiter = ',')]
        events: Vec<String>,
    },
    /// Removes an endpoint and its pending deliveries.
    #[command(after_help = client_help!("webhook remove https://app.example.com/hook --yes"))]
    Remove {
        /// The endpoint.
        #[command(flatten)]
        target: WebhookReference,
        /// Removes it without a question.
        #[arg(long, short)]
        yes: bool,
    },
    /// Sends the event webhook.test to an endpoint.
    #[command(after_help = client_help!("webhook test https://app.example.com/hook"))]
    Test(WebhookReference),
    /// Enables an endpoint.
    #[command(after_help = client_help!("webhook enable https://app.example.com/hook"))]
    Enable(WebhookReference),
    /// Disables an endpoint. Its messages are kept as dead deliveries.
    #[command(after_help = client_help!("webhook disable ep_b15d4a82"))]
    Disable(WebhookReference),
    /// Replaces the signing secret of an endpoint and shows it, only this once.
    #[command(after_help = client_help!("webhook rotate https://app.example.com/hook"))]
    Rotate(WebhookReference),
    /// Shows the deliveries of an endpoint, the latest first.
    #[command(after_help = client_help!("webhook deliveries https://app.example.com/hook", "webhook deliveries ep_b15d4a82 --status dead --limit 500"))]
    Deliveries {
        /// The endpoint.
        #[command(flatten)]
        target: WebhookReference,
        /// Only deliveries with this status.
        #[arg(long, value_parser = ["pending", "delivered", "dead"])]
        status: Option<String>,
        /// The number of deliveries.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Sends a delivery again, at once.
    #[command(after_help = client_help!("webhook resend https://app.example.com/hook msg_018f3c2a9b1d7cc2a3f0b1c2d3e4f5a6"))]
    Resend {
        /// The endpoint.
        #[command(flatten)]
        target: WebhookReference,
        /// The delivery: its webhook-id, or a unique prefix of it.
        delivery: String,
    },
}
