//! Destinations of calls that FreeSWITCH makes, and the rules that allow them.
//!
//! Pure. A tenant's texts are parsed once and valid afterwards: their alphabets contain nothing that a dial string or a
//! SIP message could take for syntax.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::AppId;

/// The longest number.
const MAX_NUMBER: usize = 32;

/// The longest user part of a SIP address.
const MAX_USER: usize = 64;

/// The longest host of a SIP address.
const MAX_HOST: usize = 253;

/// The longest name of a caller, in characters.
const MAX_NAME: usize = 64;

/// The longest name and value of a SIP header.
const MAX_HEADER: (usize, usize) = (64, 256);

/// The longest name of an extension or of a dialplan context.
const MAX_EXTENSION: usize = 64;

/// The maximum number of SIP headers of a call.
pub const MAX_HEADERS: usize = 16;

/// The reason why a text cannot be part of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidDialText(&'static str);

/// Implements the string forms of a parsed text.
macro_rules! text_forms {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidDialText;
            fn try_from(text: String) -> Result<Self, InvalidDialText> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// A telephone number: `^\+?[0-9*]{1,32}$`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Returns the number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = InvalidDialText;
    fn from_str(text: &str) -> Result<Self, InvalidDialText> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_digit = |b: u8| b.is_ascii_digit() || b == b'*';
        if (1..=MAX_NUMBER).contains(&digits.len()) && digits.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDialText(
                "a number: 1 to 32 digits or `*`, with or without a leading `+`",
            ))
        }
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_forms!(PhoneNumber);

/// A SIP address: `user@host` or `user@host:port`, without `sip:`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SipAddress {
    user: String,
    /// In lower case.
    host: String,
    port: Option<u16>,
}

impl SipAddress {
    /// Returns the host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for SipAddress {
    type Err = InvalidDialText;
    fn from_str(text: &str) -> Result<Self, InvalidDialText> {
        const FORM: InvalidDialText = InvalidDialText("a SIP address such as `alice@example.com`");
        let (user, at) = text.split_once('@').ok_or(FORM)?;
        let (host, port) = match at.split_once(':') {
            Some((host, port)) => {
                let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port != 0);
                (host, Some(port.ok_or(FORM)?))
            }
            None => (at, None),
        };
        let is_user = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'_' | b'.' | b'-');
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let fits = (1..=MAX_USER).contains(&user.len())
            && user.bytes().all(is_user)
            && (1..=MAX_HOST).contains(&host.len())
            && host.bytes().all(is_host)
            && !host.starts_with(['.', '-']);
        if !fits {
            return Err(FORM);
        }
        Ok(Self {
            user: user.to_owned(),
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for SipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The destination of a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// A number, reached through the operator's gateway.
    Number(PhoneNumber),
    /// A SIP address.
    Address(SipAddress),
}

impl FromStr for Destination {
    type Err = InvalidDialText;
    fn from_str(text: &str) -> Result<Self, InvalidDialText> {
        let text = text.strip_prefix("sip:").unwrap_or(text);
        if text.contains('@') {
            return text.parse().map(Self::Address);
        }
        text.parse().map(Self::Number).map_err(|_| {
            InvalidDialText(
                "a number such as `+493012345` or a SIP address such as `alice@example.com`",
            )
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

text_forms!(Destination);

/// Declares a name in the operator's dialplan.
macro_rules! dialplan_name {
    ($(#[$doc:meta])* $name:ident, |$byte:ident| $fits:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidDialText;
            fn from_str(text: &str) -> Result<Self, InvalidDialText> {
                let fits = |$byte: u8| $fits;
                if (1..=MAX_EXTENSION).contains(&text.len()) && text.bytes().all(fits) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidDialText($expected))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_forms!($name);
    };
}

dialplan_name! {
    /// An extension of a dialplan context: `^[A-Za-z0-9+*_.-]{1,64}$`.
    Extension, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'*' | b'_' | b'.' | b'-'),
    "an extension: 1 to 64 letters, digits or `+*_.-`"
}

dialplan_name! {
    /// A dialplan context: `^[A-Za-z0-9_.-]{1,64}$`.
    DialplanContext, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'),
    "a dialplan context: 1 to 64 letters, digits or `_.-`"
}

/// The other side of a transfer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferTarget {
    /// A number or a SIP address, as for a dial-out.
    Destination(Destination),
    /// An extension of the operator's dialplan.
    Extension(Extension, DialplanContext),
}

/// The request of a transfer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TransferRequest {
    /// The other side.
    pub to: TransferTarget,
    /// The caller's number that the other side sees; `None` for the number of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PhoneNumber>,
    /// The caller's name that the other side sees; `None` for the name of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<CallerName>,
    /// The time for an answer, in seconds.
    pub timeout: u16,
}

/// The caller's name that the callee sees: letters, digits, spaces and `-._`, in ASCII.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallerName(String);

impl CallerName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallerName {
    type Err = InvalidDialText;
    fn from_str(text: &str) -> Result<Self, InvalidDialText> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'.' | b'_');
        let is_length = (1..=MAX_NAME).contains(&text.len());
        if is_length && text.bytes().all(fits) && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDialText(
                "a name: 1 to 64 letters, digits, spaces or `-._`, without a space at its ends",
            ))
        }
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_forms!(CallerName);

/// A SIP header `X-…` of a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "(String, String)", into = "(String, String)")]
pub struct SipHeader {
    name: String,
    value: String,
}

impl SipHeader {
    /// Checks a header.
    ///
    /// # Errors
    /// [`InvalidDialText`] for a name that does not begin with `X-`, or a text that a header cannot carry.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidDialText> {
        let rest = name.strip_prefix("X-").or_else(|| name.strip_prefix("x-"));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_name))
            || name.len() > MAX_HEADER.0
        {
            return Err(InvalidDialText(
                "the name of a header: `X-` and letters, digits or `-`, 64 characters at most",
            ));
        }
        let is_value = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b' ' | b'-'
                        | b'.'
                        | b'_'
                        | b'~'
                        | b':'
                        | b'/'
                        | b'@'
                        | b'='
                        | b'+'
                        | b'%'
                        | b'?'
                        | b'&'
                        | b'*'
                )
        };
        if value.is_empty()
            || value.len() > MAX_HEADER.1
            || !value.bytes().all(is_value)
            || value.trim() != value
        {
            return Err(InvalidDialText(
                "the value of a header: 1 to 256 letters, digits, spaces or `-._~:/@=+%?&*`, without a space at its ends",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl TryFrom<(String, String)> for SipHeader {
    type Error = InvalidDialText;
    fn try_from((name, value): (String, String)) -> Result<Self, InvalidDialText> {
        Self::new(&name, &value)
    }
}

impl From<SipHeader> for (String, String) {
    fn from(header: SipHeader) -> Self {
        (header.name, header.value)
    }
}

/// The calls that the operator allows. By default there are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DialRules {
    /// Numbers have a gateway.
    pub numbers_have_route: bool,
    /// SIP addresses have a profile.
    pub addresses_have_route: bool,
    /// The permissions; one that fits is enough.
    pub permissions: Vec<DialPermission>,
}

/// Destinations that an app may call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DialPermission {
    /// The app; `None` stands for all.
    pub app: Option<AppId>,
    /// The beginnings of numbers; an empty one stands for all.
    pub numbers: Vec<String>,
    /// The hosts of SIP addresses, in lower case.
    pub domains: Vec<String>,
    /// The dialplan contexts whose extensions calls may be transferred to.
    pub contexts: Vec<DialplanContext>,
    /// The beginnings of the callers' numbers; an empty list stands for all.
    pub callers: Vec<String>,
}

impl DialPermission {
    fn allows(&self, app: &AppId, to: &Destination, from: Option<&PhoneNumber>) -> bool {
        let reaches = match to {
            Destination::Number(number) => starts_with_any(number, &self.numbers),
            Destination::Address(address) => self.domains.iter().any(|d| d == address.host()),
        };
        reaches && self.is_for(app, from)
    }

    fn is_for(&self, app: &AppId, from: Option<&PhoneNumber>) -> bool {
        let is_own = self.app.as_ref().is_none_or(|own| own == app);
        let as_caller = self.callers.is_empty()
            || from.is_some_and(|number| starts_with_any(number, &self.callers));
        is_own && as_caller
    }
}

fn starts_with_any(number: &PhoneNumber, beginnings: &[String]) -> bool {
    let mut beginnings = beginnings.iter();
    beginnings.any(|beginning| number.as_str().starts_with(beginning))
}

impl DialRules {
    /// Returns true if the app may call this destination under this caller's number.
    pub fn allows(&self, app: &AppId, to: &Destination, from: Option<&PhoneNumber>) -> bool {
        let has_route = match to {
            Destination::Number(_) => self.numbers_have_route,
            Destination::Address(_) => self.addresses_have_route,
        };
        let mut permissions = self.permissions.iter();
        has_route && permissions.any(|permission| permission.allows(app, to, from))
    }

    /// Returns true if a call of the app may be transferred so.
    pub fn allows_transfer(&self, app: &AppId, request: &TransferRequest) -> bool {
        let from = request.from.as_ref();
        match &request.to {
            TransferTarget::Destination(to) => self.allows(app, to, from),
            TransferTarget::Extension(_, context) => self.permissions.iter().any(|permission| {
                permission.contexts.contains(context) && permission.is_for(app, from)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Result<String, InvalidDialText> {
        text.parse::<Destination>().map(|to| to.to_string())
    }

    #[test]
    fn destinations_are_numbers_and_sip_addresses() {
        for good in [
            "+493012345",
            "0800",
            "*43",
            "alice@example.com",
            "a.b@10.0.0.1:5070",
        ] {
            assert_eq!(destination(good).as_deref(), Ok(good));
        }
        assert_eq!(
            destination("sip:Bob@Example.COM").as_deref(),
            Ok("Bob@example.com")
        );
        for bad in [
            "",
            "+",
            "12 34",
            "12,34",
            "12}",
            "1|2",
            "${x}",
            "a@",
            "@b",
            "a@b c",
            "a@b:0",
            "a@b:+1",
            "a@b:99999",
            "a@b;transport=tcp",
            "a@b,c",
            "a'@b",
            "error/user_busy",
            "loopback/1",
            "a@-b",
            "1\n2",
            "+49٣",
        ] {
            assert!(destination(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_are_extensions_without_syntax() {
        assert!(SipHeader::new("X-Ticket", "a b:1/2").is_ok());
        for (name, value) in [
            ("Via", "a"),
            ("X-", "a"),
            ("X-A\r\nVia", "a"),
            ("X-A", ""),
            ("X-A", "a,b"),
            ("X-A", "a'b"),
            ("X-A", "a\r\nVia: b"),
            ("X-A", "${a}"),
            ("X-A", " a"),
        ] {
            assert!(SipHeader::new(name, value).is_err(), "{name:?} {value:?}");
        }
        assert!("Front desk 7".parse::<CallerName>().is_ok());
        for bad in ["", " a", "ü", "a'", "a,b", "a{", "a\n"] {
            assert!(bad.parse::<CallerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_contexts_have_no_syntax() {
        for good in ["1000", "*97", "+4930", "front_desk.2-b"] {
            assert!(good.parse::<Extension>().is_ok(), "{good:?}");
        }
        assert!("from-inside_2.b".parse::<DialplanContext>().is_ok());
        for bad in [
            "", "a/b", "a,b", "a|b", "a b", "a!b", "a^b", "a{b", "a]b", "${a}", "a'b", "app=park",
            "a\n", "ü", "a:b", "a;b", "a@b",
        ] {
            assert!(bad.parse::<Extension>().is_err(), "{bad:?}");
            assert!(bad.parse::<DialplanContext>().is_err(), "{bad:?}");
        }
        assert!("a+b".parse::<DialplanContext>().is_err());
        assert!("a".repeat(65).parse::<Extension>().is_err());
    }

    #[test]
    fn only_configured_destinations_are_allowed() {
        let (own, other): (AppId, AppId) = ("own".parse().unwrap(), "other".parse().unwrap());
        let number: Destination = "+4930123".parse().unwrap();
        let address: Destination = "a@pbx.example.com".parse().unwrap();
        let mut rules = DialRules::default();
        assert!(
            !rules.allows(&own, &number, None),
            "nothing is allowed by default"
        );
        rules.permissions.push(DialPermission {
            app: Some(own.clone()),
            numbers: vec!["+49".to_owned()],
            domains: vec!["pbx.example.com".to_owned()],
            contexts: vec!["desk".parse().unwrap()],
            callers: vec!["+4940".to_owned()],
        });
        let caller: PhoneNumber = "+49401".parse().unwrap();
        assert!(
            !rules.allows(&own, &number, Some(&caller)),
            "numbers have no route"
        );
        rules.numbers_have_route = true;
        assert!(rules.allows(&own, &number, Some(&caller)));
        assert!(
            !rules.allows(&own, &number, None),
            "the caller's number is required"
        );
        assert!(!rules.allows(&own, &"+1".parse().unwrap(), Some(&caller)));
        assert!(!rules.allows(&other, &number, Some(&caller)));
        assert!(
            !rules.allows(&own, &address, Some(&caller)),
            "addresses have no route"
        );
        rules.addresses_have_route = true;
        assert!(rules.allows(&own, &address, Some(&caller)));
        assert!(!rules.allows(&own, &"a@evil.example.com".parse().unwrap(), Some(&caller)));
        let transfer = |context: &str, from| TransferRequest {
            to: TransferTarget::Extension("1000".parse().unwrap(), context.parse().unwrap()),
            from,
            caller_name: None,
            timeout: 60,
        };
        assert!(rules.allows_transfer(&own, &transfer("desk", Some(caller.clone()))));
        assert!(!rules.allows_transfer(&own, &transfer("desk", None)));
        assert!(!rules.allows_transfer(&own, &transfer("default", Some(caller.clone()))));
        assert!(!rules.allows_transfer(&other, &transfer("desk", Some(caller))));
    }
}
