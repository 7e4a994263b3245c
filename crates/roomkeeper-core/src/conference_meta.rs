//! A copy of a room's registration on its FreeSWITCH conference, from which a lost store is rebuilt.
//!
//! The copy is base64url of JSON: a conference variable appears verbatim in snapshots and events, so tenants' text must
//! not be able to break out of a value.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ids::AppId;
use crate::pin::PinHash;
use crate::room::{Details, Kind, Origin, Registration, Sparse};
use crate::time::Timestamp;

#[derive(Serialize, Deserialize)]
struct MetaJson {
    a: AppId,
    n: String,
    /// True if created through the VoIPBIN API.
    v: bool,
    c: Timestamp,
    #[serde(default)]
    k: Kind,
    #[serde(default)]
    t: u32,
    /// The details, or their settings, if they are short enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<Details>,
    /// The hash of the PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<PinHash>,
}

/// The maximum length of the conference variable, in base64.
const MAX_LENGTH: usize = 2_048;

/// The maximum length in a plan. Every event of the call carries the plan while the call is in the conference, and
/// FreeSWITCH's own tables of calls reserve 1,024 characters for it.
const MAX_IN_PLAN: usize = 512;

/// Encodes a registration as the value of a conference's variable.
pub fn encode(registration: &Registration) -> String {
    encode_within(registration, MAX_LENGTH)
}

/// Encodes a registration for the plan that creates the conference. Long details are left out.
pub fn encode_for_plan(registration: &Registration) -> String {
    encode_within(registration, MAX_IN_PLAN)
}

fn encode_within(registration: &Registration, longest: usize) -> String {
    let details = &registration.details;
    let settings_alone = |settings| Details {
        timeout: details.timeout,
        settings,
        ..Details::default()
    };
    let mut written = MetaJson {
        a: registration.app.clone(),
        n: registration.name.clone(),
        v: registration.origin == Origin::Voipbin,
        c: registration.created_at,
        k: registration.kind,
        t: details.timeout,
        d: None,
        p: details.settings.pin.hash().cloned(),
    };
    let shorter = [
        details.clone(),
        settings_alone(details.settings.clone()),
        settings_alone(Sparse::new(details.settings.without_labels())),
        settings_alone(Sparse::new(details.settings.short())),
        settings_alone(Sparse::default()),
    ];
    for details in shorter {
        let is_plain = details == settings_alone(Sparse::default());
        written.d = (!is_plain).then_some(details);
        let text = text(&written);
        if text.len() <= longest {
            return text;
        }
    }
    // Only the name can still be too long: the VoIPBIN API allows any text.
    written.n.clear();
    text(&written)
}

fn text(written: &MetaJson) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(written).unwrap_or_default())
}

/// Decodes the value of a conference's variable; `None` if it is not ours.
pub fn decode(text: &str) -> Option<Registration> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let written: MetaJson = serde_json::from_slice(&bytes).ok()?;
    let mut details = written.d.unwrap_or_else(|| Details {
        timeout: written.t,
        ..Details::default()
    });
    details.settings = details.settings.with_pin(written.p);
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
        details,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::room::RoomSettings;

    use super::*;

    #[test]
    fn registration_round_trips_and_fits_a_variable() {
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
        assert!(text.len() <= MAX_LENGTH);
        let less = decode(&text).unwrap();
        assert_eq!((less.kind, less.details.timeout), (Kind::Connect, 60));
        assert_eq!(
            (less.name, less.details.detail),
            (long.name.clone(), String::new())
        );
        assert!(encode_for_plan(&long).len() <= MAX_IN_PLAN);
        let short = decode(&encode_for_plan(&long)).unwrap();
        assert_eq!((&short.name, short.details.timeout), (&long.name, 60));
        long.name = "x".repeat(2_000);
        let hash = PinHash::new(&"1234".parse().unwrap(), Uuid::from_u128(1));
        long.details.settings = Sparse::<RoomSettings>::default().with_pin(Some(hash));
        let shortest = decode(&encode_for_plan(&long)).unwrap();
        assert_eq!(shortest.details.settings.pin, long.details.settings.pin);
        assert!(encode(&long).len() <= MAX_LENGTH);
        assert!(encode_for_plan(&long).len() <= MAX_IN_PLAN);
        assert_eq!(decode("nonsense"), None);
        assert_eq!(decode("%%%"), None);
    }
}
