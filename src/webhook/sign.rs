//! Signatures of Standard Webhooks 1.0.0.
//!
//! Owns the form of a secret and of the three headers. The time of the request is an argument.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use std::fmt::Write;
use std::str::FromStr;

use roomkeeper_core::time::Timestamp;

/// The message's id, the same for every attempt.
pub const HEADER_ID: &str = "webhook-id";
/// The time of the attempt, in seconds since the epoch.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// The signatures, separated by spaces.
pub const HEADER_SIGNATURE: &str = "webhook-signature";

/// The signing secret: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

/// The reason why a text is no secret. It does not contain the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a signing secret: expected whsec_ and 24 to 64 bytes in base64")]
pub struct InvalidSecret;

impl FromStr for Secret {
    type Err = InvalidSecret;
    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(InvalidSecret)
        }
    }
}

impl Secret {
    fn sign(&self, id: &str, seconds: u64, body: &str) -> Option<String> {
        // HMAC accepts a key of any length, so there is no error.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body.as_bytes());
        Some(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Returns the value of [`HEADER_SIGNATURE`]: one `v1,<base64>` per secret.
pub fn signatures(secrets: &[Secret], id: &str, at: Timestamp, body: &str) -> String {
    let mut value = String::new();
    for signature in secrets
        .iter()
        .filter_map(|secret| secret.sign(id, at.as_secs(), body))
    {
        let space = if value.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(value, "{space}v1,{signature}");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use axum::http::{HeaderMap, HeaderValue};

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

    fn secret(text: &str) -> Secret {
        text.parse().unwrap()
    }

    #[test]
    fn signature_matches_example_of_specification() {
        let at = Timestamp::from_millis(1_614_265_330_000);
        let body = r#"{"test": 2432232314}"#;
        let value = signatures(&[secret(OLD)], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body);
        assert_eq!(value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn official_library_accepts_both_secrets_during_replacement() {
        let now = clock::now();
        let body = r#"{"event":"call.new","data":{"caller_id":"Zoë"}}"#;
        let mut headers = HeaderMap::new();
        let value = signatures(&[secret(OLD), secret(NEW)], "msg_1", now, body);
        headers.insert(HEADER_ID, HeaderValue::from_static("msg_1"));
        headers.insert(HEADER_TIMESTAMP, now.as_secs().into());
        headers.insert(HEADER_SIGNATURE, value.parse().unwrap());
        for text in [OLD, NEW] {
            let official = standardwebhooks::Webhook::new(text).unwrap();
            official.verify(body.as_bytes(), &headers).unwrap();
            assert!(official.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn invalid_secret_is_rejected() {
        for bad in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_!!!",
        ] {
            assert!(bad.parse::<Secret>().is_err(), "{bad:?}");
        }
        assert!(
            format!("whsec_{}", STANDARD.encode([7; 65]))
                .parse::<Secret>()
                .is_err()
        );
    }

    #[test]
    fn debug_output_hides_secret() {
        let shown = format!("{:?}", secret(OLD));
        assert!(shown.contains("REDACTED"), "{shown}");
        assert!(!shown.contains("49"), "{shown}");
    }
}
