//! A participant: a telephone, its call on a node, and its tone.

use serde_json::Value;

use crate::phone::agent::Phone;
use crate::phone::call::Call;
use crate::phone::tone::Tone;
use crate::program::switch::PlacedCall;
use crate::scene::{Node, Scene};

/// The tones of participants.
pub const A: Tone = Tone::ALL[0];
pub const B: Tone = Tone::ALL[1];
pub const C: Tone = Tone::ALL[2];
pub const D: Tone = Tone::ALL[3];

/// The tones of files.
pub const FIRST: Tone = Tone::ALL[6];
pub const SECOND: Tone = Tone::ALL[8];

pub struct Party<'a> {
    pub scene: &'a Scene,
    pub tone: Tone,
    /// The public id of the call.
    pub session: String,
    // Dropped before the telephone, to hang up.
    pub call: Call,
    pub phone: Phone,
}

impl<'a> Party<'a> {
    /// Calls a node. Returns after the webhook `call.new`.
    pub async fn call(scene: &'a Scene, node: &Node, tone: Tone) -> Self {
        let number = format!("7{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000);
        let phone = Phone::start(&format!("tone{}", tone.hertz())).await;
        let call = phone.call(node.sip, &number, Some(tone)).await;
        let placed = PlacedCall::Dialled(number);
        let session = scene.world.placed_call_id(&placed).await;
        Self {
            scene,
            tone,
            session,
            call,
            phone,
        }
    }

    /// Sends a command to the call, which must be accepted.
    pub async fn command(&self, what: &str, body: &Value) -> Value {
        let answer = self.scene.world.command(&self.session, what, body).await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.body);
        answer.body
    }
}
