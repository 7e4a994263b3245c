//! `originate` of a relay: a call from one node to another.
//!
//! ```text
//! test = "{" variable *( "," variable ) "}sofia/relays/relay-test@" address SP plan " inline"
//! ```

use std::fmt;
use std::time::Duration;

use super::checked::{ChannelUuid, Unfit};
use super::leg::DialString;

/// The longest key, in characters.
const LONGEST_KEY: usize = 128;

/// The longest address, in characters.
const LONGEST_ADDRESS: usize = 300;

/// The key that admits relays, up to 128 characters: letters, digits and `._-`. Its debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayKey(String);

impl RelayKey {
    /// Checks that the text can be the value of the header.
    ///
    /// # Errors
    ///
    /// [`Unfit`] names the problem.
    pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
        let (text, what) = (text.into(), "a relay key");
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() {
            return Err(Unfit::Empty { what });
        }
        if text.len() > LONGEST_KEY {
            let limit = LONGEST_KEY;
            return Err(Unfit::Long { what, limit });
        }
        match text.char_indices().find(|(_, c)| !is_allowed(*c)) {
            Some((at, _)) => Err(Unfit::Byte { what, at }),
            None => Ok(Self(text)),
        }
    }
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED relay key]")
    }
}

/// `host:port` of another node's profile `relays`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayAddress(String);

impl RelayAddress {
    /// Checks that the text can be the host and port of a dial string. An IPv6 address cannot: brackets contain variables
    /// there.
    ///
    /// # Errors
    ///
    /// [`Unfit`] names the problem.
    pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
        let (text, what) = (text.into(), "a relay address");
        if text.len() > LONGEST_ADDRESS {
            let limit = LONGEST_ADDRESS;
            return Err(Unfit::Long { what, limit });
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if let Some((at, _)) = text.char_indices().find(|(_, c)| !is_allowed(*c)) {
            return Err(Unfit::Byte { what, at });
        }
        DialString::new(format!("sofia/relays/{text}"))?;
        Ok(Self(text))
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A relay that plays a tone, which the other node returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayTest {
    /// The UUID of the call here.
    pub uuid: ChannelUuid,
    /// The UUID of the call on the other node, which takes it from the Call-ID.
    pub other: ChannelUuid,
    /// The key that the other node expects.
    pub key: RelayKey,
    /// The other node.
    pub to: RelayAddress,
    /// The time for an answer, in whole seconds.
    pub answer: Duration,
    /// The length of the tone. The call ends with it.
    pub tone: Duration,
    /// The call ends after this time without RTP.
    pub silence: Duration,
}

impl fmt::Display for RelayTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{origination_uuid={},ignore_early_media=true,originate_timeout={},media_timeout={},\
             sip_invite_call_id={},sip_h_X-Roomkeeper-Key={}}}sofia/relays/relay-test@{} \
             {}playback:tone_stream://%({},0,440) inline",
            self.uuid,
            self.answer.as_secs().max(1),
            self.silence.as_millis(),
            self.other,
            self.key.0,
            self.to,
            quirk_comma_ends_a_step(),
            self.tone.as_millis()
        )
    }
}

/// A comma separates the steps of an inline plan, also inside of a tone, unless the plan names another separator.
const fn quirk_comma_ends_a_step() -> &'static str {
    "m:^:"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Api;

    #[test]
    fn test_call_is_rendered_and_its_key_is_not_shown() {
        let key = "a-key_with.16-chars";
        let call = RelayTest {
            uuid: ChannelUuid::new("75cdcc5c-a757-4d44-80d5-95d9e74567a2").unwrap(),
            other: ChannelUuid::new("0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11").unwrap(),
            key: RelayKey::new(key).unwrap(),
            to: RelayAddress::new("10.0.0.12:5090").unwrap(),
            answer: Duration::from_secs(5),
            tone: Duration::from_secs(3),
            silence: Duration::from_secs(4),
        };
        assert!(!format!("{call:?}").contains(key));
        assert_eq!(
            Api::RelayTest(Box::new(call)).to_string(),
            "originate {origination_uuid=75cdcc5c-a757-4d44-80d5-95d9e74567a2,ignore_early_media=true,\
             originate_timeout=5,media_timeout=4000,sip_invite_call_id=0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11,\
             sip_h_X-Roomkeeper-Key=a-key_with.16-chars}sofia/relays/relay-test@10.0.0.12:5090 \
             m:^:playback:tone_stream://%(3000,0,440) inline"
        );
    }

    #[test]
    fn key_and_address_stay_in_their_places() {
        let long = "k".repeat(129);
        for bad in ["", "a b", "a,b", "a}b", "${a}", "a'b", "a\nb", "é", &long] {
            assert!(RelayKey::new(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "a b:1",
            "a,b:1",
            "a|b:1",
            "[::1]:5090",
            "a:_:b",
            "a/b:1",
            "a@b:1",
            "a;b:1",
        ] {
            assert!(RelayAddress::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelayAddress::new("node-2.example.com:5090").is_ok());
    }
}
