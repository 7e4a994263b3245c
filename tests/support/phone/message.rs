//! SIP messages as text (RFC 3261). Reads long header names, one value a line, as FreeSWITCH writes them.

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// The request line or the status line.
    start: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

/// The headers that a response repeats from its request.
const REPEATED: [&str; 5] = ["Via", "From", "To", "Call-ID", "CSeq"];

impl Message {
    /// Starts a request to this URI.
    pub fn request(method: &str, uri: &str) -> Self {
        Self::with_start(format!("{method} {uri} SIP/2.0"))
    }

    /// Starts a response to this request. `tag` identifies this side of the dialog, unless the request has it already.
    pub fn response(to: &Self, status: u16, reason: &str, tag: &str) -> Self {
        let mut response = Self::with_start(format!("SIP/2.0 {status} {reason}"));
        for (name, value) in &to.headers {
            if REPEATED.iter().any(|one| one.eq_ignore_ascii_case(name)) {
                let is_to = name.eq_ignore_ascii_case("To");
                let value = match is_to && tag_of(value).is_none() {
                    true => format!("{value};tag={tag}"),
                    false => value.clone(),
                };
                response.headers.push((name.clone(), value));
            }
        }
        response
    }

    /// Acknowledges the refusal of this request, in the same transaction.
    pub fn refusal_ack(&self, refusal: &Self) -> Self {
        let uri = self.start.split(' ').nth(1).unwrap_or_default();
        let number = self.cseq().map_or(0, |(number, _)| number);
        Self::request("ACK", uri)
            .with("Via", self.header("Via"))
            .with("Max-Forwards", "70")
            .with("From", self.header("From"))
            .with("To", refusal.header("To"))
            .with("Call-ID", self.header("Call-ID"))
            .with("CSeq", format!("{number} ACK"))
    }

    fn with_start(start: String) -> Self {
        Self {
            start,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a session description.
    pub fn with_sdp(self, sdp: String) -> Self {
        let mut message = self.with("Content-Type", "application/sdp");
        message.body = sdp;
        message
    }

    /// Parses a datagram; `None` if it is no SIP message.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        let message = Self {
            start,
            headers,
            body: body.to_owned(),
        };
        (message.status().is_some() || message.start.ends_with(" SIP/2.0")).then_some(message)
    }

    /// Returns the message as a datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        text.into_bytes()
    }

    /// The method of a request; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        match self.status() {
            Some(_) => None,
            None => self.start.split(' ').next(),
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// The user part of the request's URI: the dialled number.
    pub fn user(&self) -> Option<&str> {
        let uri = self.start.split(' ').nth(1)?;
        let rest = uri.strip_prefix("sip:")?;
        rest.split_once('@').map(|(user, _)| user)
    }

    /// The first header of this name; empty without one.
    pub fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|header| header.0.eq_ignore_ascii_case(name));
        found.map_or("", |header| &header.1)
    }

    /// The branch of the topmost `Via`, which identifies the transaction.
    pub fn branch(&self) -> &str {
        let via = self.header("Via");
        parameter(via, "branch").unwrap_or_default()
    }

    /// The number and the method in `CSeq`.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq").split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The URI in `Contact`: the target of later requests.
    pub fn contact(&self) -> Option<&str> {
        let contact = self.header("Contact");
        match contact.split_once('<') {
            Some((_, rest)) => rest.split_once('>').map(|(uri, _)| uri),
            None => contact.split(';').next().filter(|uri| !uri.is_empty()),
        }
    }
}

/// The tag of a `From` or `To`.
pub fn tag_of(value: &str) -> Option<&str> {
    let (_, parameters) = value.rsplit_once('>').unwrap_or(("", value));
    parameter(parameters, "tag")
}

fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|one| {
        let (key, value) = one.split_once('=')?;
        (key.trim() == name).then_some(value.trim())
    })
}
