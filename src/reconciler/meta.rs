//! What is written on a conference so that a lost store can be rebuilt from FreeSWITCH: whose room it is.
//!
//! base64url of JSON, because a conference variable is shown in snapshots and events as it is, and tenants' text must
//! not be able to be anything but a value there.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ids::AppId;
use crate::room::{Details, Kind, Origin, Registration};
use crate::time::Timestamp;

#[derive(Serialize, Deserialize)]
struct Written {
    a: AppId,
    n: String,
    /// Made through the VoIPBIN API.
    v: bool,
    c: Timestamp,
    #[serde(default)]
    k: Kind,
    #[serde(default)]
    t: u32,
    /// All that its owner says of it, where that is short enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<Details>,
}

/// What a conference's variable holds, in base64.
const LONGEST: usize = 2_048;

/// The longest text in a plan. Every event of the call carries the plan while it is in the conference, and FreeSWITCH's own
/// tables of calls have 1,024 characters for it.
const LONGEST_IN_PLAN: usize = 512;

/// Encodes a registration as the value of a conference's variable.
pub fn encode(registration: &Registration) -> String {
    encode_within(registration, LONGEST)
}

/// The same in short, for the plan that creates the conference: without what its owner says of it, if that is long.
pub fn encode_for_plan(registration: &Registration) -> String {
    encode_within(registration, LONGEST_IN_PLAN)
}

fn encode_within(registration: &Registration, longest: usize) -> String {
    let some = registration.details != Details::default();
    let mut written = Written {
        a: registration.app.clone(),
        n: registration.name.clone(),
        v: registration.origin == Origin::Voipbin,
        c: registration.created_at,
        k: registration.kind,
        t: registration.details.timeout,
        d: some.then(|| registration.details.clone()),
    };
    let text = text(&written);
    if text.len() <= longest {
        return text;
    }
    written.d = None;
    let text = self::text(&written);
    if text.len() <= longest {
        return text;
    }
    // What is left is the name: any text, in the VoIPBIN API.
    written.n.clear();
    self::text(&written)
}

fn text(written: &Written) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(written).unwrap_or_default())
}

/// Reads it back; `None` when it is nothing of ours.
pub fn decode(text: &str) -> Option<Registration> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let written: Written = serde_json::from_slice(&bytes).ok()?;
    Some(Registration {
        app: written.a,
        name: written.n,
        origin: if written.v {
            Origin::Voipbin
        } else {
            Origin::Gateway
        },
        created_at: written.c,
        kind: written.k,
        details: written.d.unwrap_or_else(|| Details {
            timeout: written.t,
            ..Details::default()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_fits_a_variable() {
        let registration = Registration {
            app: "demo".parse().unwrap(),
            name: "a \"name\" with ${everything},\nand more".to_owned(),
            origin: Origin::Voipbin,
            created_at: Timestamp::from_millis(1_700_000_000_000),
            kind: Kind::Connect,
            details: Details {
                detail: "{}".to_owned(),
                timeout: 60,
                ..Details::default()
            },
        };
        let text = encode(&registration);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_eq!(decode(&text), Some(registration.clone()));
        let mut long = registration;
        long.details.detail = "x".repeat(2_000);
        let text = encode(&long);
        assert!(text.len() <= LONGEST);
        let less = decode(&text).unwrap();
        assert_eq!((less.kind, less.details.timeout), (Kind::Connect, 60));
        assert_eq!(
            (less.name, less.details.detail),
            (long.name.clone(), String::new())
        );
        assert!(encode_for_plan(&long).len() <= LONGEST_IN_PLAN);
        let short = decode(&encode_for_plan(&long)).unwrap();
        assert_eq!((&short.name, short.details.timeout), (&long.name, 60));
        long.name = "x".repeat(2_000);
        assert!(encode(&long).len() <= LONGEST);
        assert!(encode_for_plan(&long).len() <= LONGEST_IN_PLAN);
        assert_eq!(decode("nonsense"), None);
        assert_eq!(decode("%%%"), None);
    }
}
