//! The dialog of a call: its identifiers, its target, and its later requests.

use std::net::SocketAddr;

use super::message::Message;

/// A SIP dialog, from this telephone's side.
#[derive(Clone, Debug)]
pub struct Dialog {
    pub call_id: String,
    /// `From` and `To` of this side's requests, with tags.
    local: String,
    remote: String,
    /// The URI of later requests, from the other side's `Contact`.
    target: String,
    cseq: u32,
}

impl Dialog {
    /// Creates the dialog of a call that this telephone placed, from the final response.
    pub fn placed(response: &Message) -> Option<Self> {
        Some(Self {
            call_id: response.header("Call-ID").to_owned(),
            local: response.header("From").to_owned(),
            remote: response.header("To").to_owned(),
            target: response.contact()?.to_owned(),
            cseq: response.cseq()?.0,
        })
    }

    /// Creates the dialog of a call that this telephone received, from the request and the response that accepts it.
    pub fn received(invite: &Message, response: &Message) -> Option<Self> {
        Some(Self {
            call_id: invite.header("Call-ID").to_owned(),
            local: response.header("To").to_owned(),
            remote: invite.header("From").to_owned(),
            target: invite.contact()?.to_owned(),
            cseq: 0,
        })
    }

    /// Adopts the target of the other side's latest request.
    pub fn retarget(&mut self, request: &Message) {
        if let Some(contact) = request.contact() {
            contact.clone_into(&mut self.target);
        }
    }

    /// Starts the next request.
    pub fn request(&mut self, method: &str, via: &Via) -> Message {
        self.cseq += 1;
        self.numbered(method, self.cseq, via)
    }

    /// Acknowledges the final response to the `INVITE` of this number.
    pub fn ack(&self, number: u32, via: &Via) -> Message {
        self.numbered("ACK", number, via)
    }

    fn numbered(&self, method: &str, number: u32, via: &Via) -> Message {
        Message::request(method, &self.target)
            .with("Via", via.to_string())
            .with("Max-Forwards", "70")
            .with("From", &self.local)
            .with("To", &self.remote)
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{number} {method}"))
            .with("Contact", format!("<sip:telephone@{}>", via.address))
    }

    /// The address of later requests.
    pub fn address(&self) -> Option<SocketAddr> {
        let (_, host) = self.target.rsplit_once('@')?;
        host.split(';').next()?.parse().ok()
    }
}

/// The topmost `Via` of a request.
pub struct Via {
    pub address: SocketAddr,
    pub branch: String,
}

impl Via {
    /// Returns the `Via` of a new transaction.
    pub fn unique(address: SocketAddr) -> Self {
        Self {
            address,
            branch: format!("z9hG4bK{}", uuid::Uuid::new_v4().simple()),
        }
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "SIP/2.0/UDP {};rport;branch={}",
            self.address, self.branch
        )
    }
}
