//! Calls that FreeSWITCH makes, by `originate` or by the application `bridge` of a plan.
//!
//! ```text
//! leg         = "{" variable *( "," variable ) "}" dial-string
//! bridge-leg  = "{^^;" variable *( ";" variable ) "}" dial-string
//! variable    = name "=" ( value / "'" quoted "'" )
//! ```

use std::fmt;
use std::time::Duration;

use super::checked::{ChannelUuid, Unfit, VarName, VarValue};

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The UUID that the call gets. While it lives, FreeSWITCH makes no second call under it.
    pub uuid: ChannelUuid,
    /// The time for an answer, in whole seconds.
    pub timeout: Duration,
    /// The caller's number that the callee sees.
    pub caller_number: Option<QuotedText>,
    /// The caller's name that the callee sees.
    pub caller_name: Option<QuotedText>,
    /// SIP headers.
    pub headers: Vec<(SipHeaderName, QuotedText)>,
    /// More variables of the channel.
    pub variables: Vec<(VarName, VarValue)>,
    /// The destination.
    pub to: DialString,
}

impl Leg {
    /// Writes the leg as the argument of `bridge`. No value contains a `;`.
    pub(super) fn write_bridged(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write("{^^;", ';', f)
    }

    pub(super) fn write(
        &self,
        before: &str,
        comma: char,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        write!(
            f,
            "{before}origination_uuid={}{comma}{}{comma}originate_timeout={}",
            self.uuid,
            quirk_early_media_counts_as_answer(),
            self.timeout.as_secs().max(1)
        )?;
        if let Some(number) = &self.caller_number {
            write!(f, "{comma}origination_caller_id_number='{number}'")?;
        }
        if let Some(name) = &self.caller_name {
            write!(f, "{comma}origination_caller_id_name='{name}'")?;
        }
        for (name, value) in &self.variables {
            write!(f, "{comma}{name}={value}")?;
        }
        for (name, value) in &self.headers {
            write!(f, "{comma}sip_h_{name}='{value}'")?;
        }
        write!(f, "}}{}", self.to)
    }
}

/// Media before the answer, such as a ring-back tone, would end `originate`, and the call would execute its plan before
/// it is answered.
const fn quirk_early_media_counts_as_answer() -> &'static str {
    "ignore_early_media=true"
}

fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), Unfit> {
    if text.is_empty() {
        return Err(Unfit::Empty { what });
    }
    if text.len() > limit {
        return Err(Unfit::Long { what, limit });
    }
    match text.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, _)) => Err(Unfit::Byte { what, at }),
        None => Ok(()),
    }
}

/// Declares a newtype over checked text.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, |$text:ident| $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks that the text can be ", $what, ".")]
            ///
            /// # Errors
            ///
            /// [`Unfit`] names the problem.
            pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
                let text = text.into();
                let $text = text.as_str();
                $check?;
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked! {
    /// The value of a variable between single quotes, up to 512 bytes: letters, digits, spaces and `-._~:/@=+%?&*`. A
    /// quote, a backslash, `,`, `}` and `$` would end or expand it.
    QuotedText, "a quoted value", |text| check("a quoted value", text, 512, |c| {
        c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '_' | '~' | ':' | '/' | '@' | '=' | '+' | '%' | '?' | '&' | '*')
    })
}

checked! {
    /// The name of a SIP header of our own, up to 64 bytes: `X-`, then letters, digits and `-`.
    SipHeaderName, "the name of a SIP header", |text| {
        check("a SIP header's name", text, 64, |c| c.is_ascii_alphanumeric() || c == '-').and_then(|()| {
            if text.len() > 2 && (text.starts_with("X-") || text.starts_with("x-")) {
                Ok(())
            } else {
                Err(Unfit::Reserved { what: "a SIP header's name without `X-`" })
            }
        })
    }
}

checked! {
    /// A dial string of one leg, such as `sofia/gateway/trunk/+493012345`, up to 512 bytes: letters, digits and
    /// `-._~/@:+*;=`. `,`, `|` and `:_:` separate legs, and brackets contain variables.
    DialString, "a dial string", |text| check("a dial string", text, 512, is_dial_character).and_then(|()| {
        if text.contains('/') && !text.starts_with('/') && !text.contains(":_:") {
            Ok(())
        } else {
            Err(Unfit::Reserved { what: "a dial string" })
        }
    })
}

fn is_dial_character(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            '-' | '.' | '_' | '~' | '/' | '@' | ':' | '+' | '*' | ';' | '='
        )
}

/// A dial string with a placeholder for the destination, such as `sofia/gateway/trunk/${number}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialTemplate {
    before: String,
    after: String,
}

impl DialTemplate {
    /// Parses a template that has `${name}` exactly once.
    ///
    /// # Errors
    ///
    /// [`Unfit`] if the placeholder is missing or repeated, or if the rest cannot be part of a [`DialString`].
    pub fn new(text: &str, name: &str) -> Result<Self, Unfit> {
        let what = "a dial template";
        let placeholder = format!("${{{name}}}");
        let (before, after) = text
            .split_once(&placeholder)
            .ok_or(Unfit::Reserved { what })?;
        let template = Self {
            before: before.to_owned(),
            after: after.to_owned(),
        };
        template.fill("0").map(|_| template)
    }

    /// Puts a destination in the place of the placeholder.
    ///
    /// # Errors
    ///
    /// [`Unfit`] if the destination cannot be part of a [`DialString`], or contains `/`, which would name another
    /// endpoint.
    pub fn fill(&self, destination: &str) -> Result<DialString, Unfit> {
        let what = "a destination";
        check(what, destination, 400, |c| {
            is_dial_character(c) && !matches!(c, '/' | ';' | '=')
        })?;
        DialString::new(format!("{}{destination}{}", self.before, self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_their_placeholder_once() {
        assert!(DialTemplate::new("sofia/external/${address};transport=tcp", "address").is_ok());
        for bad in [
            "sofia/gateway/trunk/",
            "sofia/gateway/${number}/${number}",
            "{a=b}sofia/gateway/trunk/${number}",
            "sofia/a/${number},sofia/b/1",
            "sofia/a/${number}|sofia/b/1",
            "sofia/a/${number}:_:sofia/b/1",
            "${number}",
            "/${number}",
            "sofia/a/${other}",
        ] {
            assert!(DialTemplate::new(bad, "number").is_err(), "{bad}");
        }
    }

    #[test]
    fn destinations_stay_in_their_place() {
        let template = DialTemplate::new("sofia/gateway/trunk/${number}", "number").unwrap();
        for bad in [
            "", "1,2", "1 2", "1/2", "1|2", "1}", "${x}", "a;b=c", "1\n2", "a'b",
        ] {
            assert!(template.fill(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "", "a'b", "a,b", "a}b", "${a}", "a\\b", "a\"b", "a\nb", "a`b", "a;b",
        ] {
            assert!(QuotedText::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "X-", "Via", "X-A B", "X-A:"] {
            assert!(SipHeaderName::new(bad).is_err(), "{bad:?}");
        }
    }
}
