//! The audit log's view of a request: every authenticated request that may change something becomes an entry.
//!
//! A route needs no line for it: any method except the safe ones counts, the authentication notes the sender, and action
//! and subject follow from the route. Requests without a valid key, and those over an app's rate limit, are no entries:
//! they change nothing, and their number has no limit. A handler that makes something names it by [`AuditTarget`].
//!
//! An entry contains neither body nor query.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::audit::AuditRecorder;
use crate::clock;
use crate::http::listen::Connection;
use crate::store::audit::{AuditActor, AuditEntry, AuditId};
use roomkeeper_core::ids::AppId;

use super::observe;

/// The maximum length of an id or an error in an entry, in characters: both can repeat text of the caller.
const LONGEST_TEXT: usize = 200;

/// The status of a request whose client disconnected before the response. The change may have been made.
const CLIENT_CLOSED: u16 = 499;

/// The prefixes of the routes that are no part of an action. The operator's routes of an app's webhook endpoints are those
/// of the app itself.
const PREFIXES: [&str; 4] = [
    "/admin/apps/{app_id}/webhooks",
    "/api/v1",
    "/v1.0",
    "/admin",
];

/// The id of the object that a request has made, for the audit log.
#[derive(Clone, Debug)]
pub(crate) struct AuditTarget(pub(crate) String);

/// The app that a request is about, for the audit log, where the route does not name it.
#[derive(Clone, Debug)]
pub(crate) struct AuditApp(pub(crate) AppId);

/// The error of a response, for the audit log.
#[derive(Clone, Debug)]
pub(crate) struct AuditError(pub(crate) Cow<'static, str>);

/// The sender of a request, once it is authenticated.
#[derive(Clone, Debug, Default)]
struct Sender(Arc<OnceLock<AuditActor>>);

/// Notes the authenticated sender of a request.
pub(crate) fn note_sender(extensions: &Extensions, actor: impl FnOnce() -> AuditActor) {
    if let Some(Sender(sender)) = extensions.get::<Sender>() {
        sender.get_or_init(actor);
    }
}

/// Middleware: makes an entry of each request that may change something.
pub(crate) async fn audit(
    State(recorder): State<AuditRecorder>,
    request: Request,
    next: Next,
) -> Response {
    if !recorder.is_enabled() || request.method().is_safe() {
        return next.run(request).await;
    }
    // Boxed: most requests only read, and their futures would reserve space for it.
    Box::pin(audit_change(recorder, request, next)).await
}

async fn audit_change(recorder: AuditRecorder, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let sender = Sender::default();
    parts.extensions.insert(sender.clone());
    let connection = parts.extensions.get::<Arc<Connection>>();
    let client = connection.map(|connection| connection.client(&parts.headers).to_string());
    let route = parts.extensions.get::<MatchedPath>();
    let mut audited = AuditedRequest {
        recorder,
        sender,
        at: clock::now(),
        method: parts.method.clone(),
        route: route.map_or_else(String::new, |route| route.as_str().to_owned()),
        params: params.map_or_else(|_| Vec::new(), |params| owned(&params)),
        client: client.unwrap_or_default(),
        is_over: false,
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    audited.finish(&response);
    response
}

fn owned(params: &RawPathParams) -> Vec<(String, String)> {
    let params = params.iter();
    params
        .map(|(name, value)| (name.to_owned(), shortened(value)))
        .collect()
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// A request that becomes an entry, even if its client disconnects.
struct AuditedRequest {
    recorder: AuditRecorder,
    sender: Sender,
    at: roomkeeper_core::time::Timestamp,
    method: Method,
    route: String,
    /// The parameters of the route, in their order.
    params: Vec<(String, String)>,
    client: String,
    is_over: bool,
}

impl AuditedRequest {
    fn finish(&mut self, response: &Response) {
        self.is_over = true;
        let extensions = response.extensions();
        let error = extensions.get::<AuditError>();
        let target = extensions.get::<AuditTarget>();
        let app = extensions.get::<AuditApp>();
        self.record(
            response.status().as_u16(),
            error.map(|AuditError(error)| shortened(error)),
            target.map(|AuditTarget(id)| shortened(id)),
            app.map(|AuditApp(app)| app.clone()),
        );
    }

    fn record(
        &mut self,
        status: u16,
        error: Option<String>,
        made: Option<String>,
        app: Option<AppId>,
    ) {
        let Some(actor) = self.sender.0.get().cloned() else {
            return;
        };
        let params = std::mem::take(&mut self.params);
        let last = params.last().map(|(_, value)| value.clone());
        let app = app.or_else(|| match &actor {
            AuditActor::App(app) => Some(app.clone()),
            AuditActor::Operator => {
                let named = params.iter().find(|(name, _)| name == "app_id");
                named.and_then(|(_, id)| id.parse().ok())
            }
        });
        self.recorder.record(AuditEntry {
            id: AuditId::new(self.at, rand::random()),
            actor,
            action: action(&self.method, &self.route),
            method: self.method.to_string(),
            route: std::mem::take(&mut self.route),
            target: made.or(last),
            app,
            status,
            error,
            request: observe::current_request_id().unwrap_or_default(),
            client: std::mem::take(&mut self.client),
            params: params.into_iter().collect::<BTreeMap<_, _>>(),
        });
    }
}

impl Drop for AuditedRequest {
    fn drop(&mut self) {
        if !self.is_over {
            let error = "the client disconnected before the response".to_owned();
            self.record(CLIENT_CLOSED, Some(error), None, None);
        }
    }
}

/// Derives the name of an action from its method and route: the fixed parts of the route, separated by dots. A route that
/// ends with an id, a collection, and a method other than `POST` add a verb: `sessions.hangup`, `rooms.delete`,
/// `conferences.create`.
fn action(method: &Method, route: &str) -> String {
    let stripped = PREFIXES
        .iter()
        .find_map(|prefix| Some((prefix, route.strip_prefix(prefix)?)));
    let is_webhook = stripped.is_some_and(|(prefix, _)| prefix.ends_with("/webhooks"));
    let rest = stripped.map_or(route, |(_, rest)| rest);
    let segments = rest.split('/').filter(|segment| !segment.is_empty());
    let is_param = |segment: &str| segment.starts_with('{');
    let ends_with_id = rest.rsplit('/').next().is_some_and(is_param);
    let has_id = segments.clone().any(is_param);
    let fixed = segments.filter(|segment| !is_param(segment) && *segment != "commands");
    let mut words: Vec<&str> = is_webhook
        .then_some("webhooks")
        .into_iter()
        .chain(fixed)
        .collect();
    match *method {
        Method::POST if ends_with_id || !has_id => words.push("create"),
        Method::POST => {}
        Method::DELETE => words.push("delete"),
        _ => words.push("update"),
    }
    words.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_follows_from_method_and_route() {
        for (method, route, expected) in [
            (Method::POST, "/api/v1/conferences", "conferences.create"),
            (
                Method::DELETE,
                "/api/v1/conferences/{room_id}",
                "conferences.delete",
            ),
            (
                Method::POST,
                "/api/v1/conferences/{room_id}/recording/start",
                "conferences.recording.start",
            ),
            (
                Method::POST,
                "/api/v1/sessions/{uuid}/commands/conference/join",
                "sessions.conference.join",
            ),
            (Method::POST, "/api/v1/webhooks", "webhooks.create"),
            (
                Method::POST,
                "/admin/apps/{app_id}/webhooks",
                "webhooks.create",
            ),
            (Method::PATCH, "/api/v1/webhooks/{id}", "webhooks.update"),
            (
                Method::DELETE,
                "/admin/apps/{app_id}/webhooks/{id}",
                "webhooks.delete",
            ),
            (
                Method::POST,
                "/admin/apps/{app_id}/webhooks/{id}/test",
                "webhooks.test",
            ),
            (
                Method::PUT,
                "/v1.0/conferences/{conference_id}",
                "conferences.update",
            ),
            (
                Method::POST,
                "/v1.0/conferencecalls",
                "conferencecalls.create",
            ),
            (Method::POST, "/admin/apps/{app_id}", "apps.create"),
            (Method::DELETE, "/admin/apps/{app_id}", "apps.delete"),
            (Method::PUT, "/admin/apps/{app_id}/dids", "apps.dids.update"),
            (
                Method::POST,
                "/admin/apps/{app_id}/rotate-key",
                "apps.rotate-key",
            ),
            (Method::POST, "/admin/nodes/{id}/drain", "nodes.drain"),
            (Method::POST, "/admin/calls/{uuid}/hangup", "calls.hangup"),
            (Method::DELETE, "/admin/rooms/{room_id}", "rooms.delete"),
        ] {
            assert_eq!(action(&method, route), expected, "{method} {route}");
        }
    }
}
