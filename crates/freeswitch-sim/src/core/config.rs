//! The configuration of a simulated node.

use std::collections::BTreeMap;

use super::MAX_QUEUED_EVENTS;

/// A file or URL that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// The duration in microseconds; `None` if it cannot be opened.
    pub duration: Option<u64>,
    /// The time that opening takes, like a fetch, in microseconds.
    pub opening: u64,
}

/// The behaviour of a callee. Times are in microseconds from the start of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callee {
    /// The time of the 180; `None` if there is none.
    pub rings: Option<u64>,
    /// The end of the call set-up.
    pub then: CalleeOutcome,
}

/// The final response of a callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalleeOutcome {
    /// 200 at this time.
    Answers(u64),
    /// Another final status at this time.
    Refuses(u64, u16),
    /// No response until the caller gives up.
    Silent,
}

/// The settings that differ between nodes, and their environment.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The password of the Event Socket.
    pub password: String,
    /// `FreeSWITCH-Hostname`.
    pub hostname: String,
    /// `FreeSWITCH-Switchname`.
    pub switchname: String,
    /// `FreeSWITCH-IPv4`.
    pub ipv4: String,
    /// `FreeSWITCH-IPv6`.
    pub ipv6: String,
    /// `FreeSWITCH-Version`.
    pub version: String,
    /// `Conference-Domain`.
    pub domain: String,
    /// The interval between two HEARTBEATs, in microseconds.
    pub heartbeat: u64,
    /// The delay of `show channels`, in microseconds.
    pub sql_lag: u64,
    /// The time that a connection's thread sleeps before it checks for events again, in microseconds, unless bytes
    /// arrive from its client; 0: it delivers events at once.
    pub poll: u64,
    /// The time that a client may take to authenticate, in microseconds.
    pub auth_timeout: u64,
    /// The time that a channel which found its conference takes to become a member, in microseconds. A conference that
    /// loses its last member meanwhile admits the channel and removes it again.
    pub admission: u64,
    /// The number of events that may wait for one connection; further ones are dropped.
    pub max_queued_events: usize,
    /// `Max-Sessions`; further calls are refused.
    pub max_sessions: u64,
    /// Known media by path. Any other can be opened and lasts [`NodeConfig::default_media`].
    pub media: BTreeMap<String, Media>,
    /// Media without an entry.
    pub default_media: Media,
    /// Callees of SIP calls that the node makes, by the user part or the number.
    pub callees: BTreeMap<String, Callee>,
    /// Callees without an entry; `None`: the node has no SIP profile.
    pub default_callee: Option<Callee>,
    /// The maximum number of members of a conference, by its profile; 0, or no entry: no limit.
    pub max_members: BTreeMap<String, u64>,
    /// Answered SIP calls are stored, and `sofia recover` brings them back after a restart.
    pub track_calls: bool,
    /// The key of calls from other nodes; `None`: calls to other nodes are answered by `callees`.
    pub relay_key: Option<String>,
    /// No RTP arrives at the node.
    pub rtp_blocked: bool,
    /// Modules that count as loaded besides the essential ones.
    pub modules: Vec<String>,
    /// The dialplan: applications and their arguments by extension.
    pub dialplan: BTreeMap<String, Vec<(String, String)>>,
    /// The plan of extensions without an entry; empty: there is no route.
    pub default_plan: Vec<(String, String)>,
    /// Contexts that the dialplan does not have: they have no extension.
    pub missing_contexts: Vec<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let plan = |steps: &[(&str, &str)]| {
            steps
                .iter()
                .map(|(app, arg)| ((*app).to_owned(), (*arg).to_owned()))
                .collect::<Vec<_>>()
        };
        Self {
            password: "ClueCon".into(),
            hostname: "sim".into(),
            switchname: "sim".into(),
            ipv4: "192.0.2.2".into(),
            ipv6: "fd00::2".into(),
            version: "1.11.3-sim".into(),
            domain: "127.0.0.1".into(),
            heartbeat: 20_000_000,
            sql_lag: 100_000,
            poll: 20_000,
            auth_timeout: 25_000_000,
            admission: 0,
            max_queued_events: MAX_QUEUED_EVENTS,
            max_sessions: 20_000,
            media: BTreeMap::new(),
            default_media: Media {
                duration: Some(2_000_000),
                opening: 0,
            },
            callees: BTreeMap::new(),
            default_callee: None,
            max_members: BTreeMap::from([("roomkeeper-connect".into(), 2)]),
            track_calls: true,
            relay_key: None,
            rtp_blocked: false,
            modules: vec!["mod_flite".into()],
            dialplan: BTreeMap::from([
                (
                    "silence".into(),
                    plan(&[("answer", ""), ("playback", "silence_stream://-1")]),
                ),
                (
                    "talk".into(),
                    plan(&[
                        ("answer", ""),
                        ("playback", "tone_stream://%(1500,2500,440);loops=-1"),
                    ]),
                ),
                ("busy".into(), plan(&[("hangup", "USER_BUSY")])),
            ]),
            default_plan: plan(&[("answer", ""), ("park", "")]),
            missing_contexts: Vec::new(),
        }
    }
}
