//! The first screen of the lab: links, the key, and three commands to paste. It fits 80 columns and 24 lines.

use std::net::SocketAddr;
use std::time::Duration;

use super::demo::{Ready, SPEAKERS};
use super::names::{APP, KEY, ROOM};

/// The content of the first screen.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    /// The node.
    pub node: String,
    /// The API's listener.
    pub http: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The number of calls that the lab keeps parked.
    pub callers: usize,
    /// The demo.
    pub ready: &'a Ready,
    /// The time of the start.
    pub took: Duration,
}

impl Screen<'_> {
    /// Renders the screen.
    pub(super) fn text(&self) -> String {
        let (http, admin) = (self.http, self.admin);
        let parked = match self.callers {
            0 => "No call is parked".to_owned(),
            1 => "1 call is parked".to_owned(),
            n => format!("{n} calls are parked"),
        };
        format!(
            "Roomkeeper lab on {}; state is in memory\n\
             \n\
             \x20 console  http://{http}/console   app {APP}, key {KEY}\n\
             \x20 docs     http://{http}/docs\n\
             \x20 API      http://{http}   X-App-ID: {APP}   X-API-Key: {KEY}\n\
             \x20 metrics  http://{admin}/metrics\n\
             \n\
             {parked}; {SPEAKERS} others talk by turns in the room {ROOM} (after {:.1?}).\n\
             Webhooks appear below. Paste into another terminal:\n\
             \n\
             {}\
             Ctrl-C ends the lab.\n",
            self.node,
            self.took,
            self.commands(),
        )
    }

    /// The commands. Each works by itself, and a line continues where an id would make it too long.
    fn commands(&self) -> String {
        let auth = format!("-H 'X-App-ID: {APP}' -H 'X-API-Key: {KEY}'");
        let base = format!("{}/api/v1", self.http);
        let call = self.ready.parked.as_deref().map_or_else(
            || format!("# list the calls\ncurl {auth} \\\n  {base}/sessions\n"),
            |call| {
                format!(
                    "# let a parked call join the room\n\
                     curl -X POST {auth} \\\n\
                     {base}/sessions/{call}\\\n\
                     /commands/conference/join -H 'Content-Type: application/json' \\\n  \
                     -d '{{\"room_id\": \"{}\"}}'\n",
                    self.ready.room
                )
            },
        );
        format!(
            "# list the rooms\n\
             curl {auth} \\\n  \
             {base}/conferences\n\
             {call}\
             # follow the events, also of talking members, until Ctrl-C\n\
             curl -N {auth} \\\n  \
             {base}/events\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_fits_80_columns_and_24_lines() {
        let ready = Ready {
            room: "acW68-room-01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            parked: Some("acW68-01234567-89ab-cdef-0123-456789abcdef".to_owned()),
        };
        for (node, port) in [
            ("a simulated FreeSWITCH node", 8080),
            ("the FreeSWITCH node 127.0.0.1:8021", 65_535),
        ] {
            let text = Screen {
                node: node.to_owned(),
                http: SocketAddr::from(([127, 0, 0, 1], port)),
                admin: SocketAddr::from(([127, 0, 0, 1], port)),
                callers: 3,
                ready: &ready,
                took: Duration::from_millis(12_345),
            }
            .text();
            // The last line is that of the cursor.
            assert!(text.lines().count() < 24, "{text}");
            for line in text.lines() {
                assert!(line.len() <= 80, "{} columns: {line}", line.len());
            }
        }
    }

    #[test]
    fn screen_without_parked_calls_lists_calls_instead() {
        let ready = Ready {
            room: "acW68-room-1".to_owned(),
            parked: None,
        };
        let text = Screen {
            node: "a node".to_owned(),
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            callers: 0,
            ready: &ready,
            took: Duration::ZERO,
        }
        .text();
        assert!(
            text.contains("/sessions\n") && !text.contains("/join"),
            "{text}"
        );
    }
}
