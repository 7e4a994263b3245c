//! The Lua scripts. The code of each is the files of its helpers, then its own file.

use std::sync::LazyLock;

/// A script and its SHA-1, which is its name in Redis.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) sha: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self {
            code,
            sha: redis::Script::new(code).get_hash().to_owned(),
        }
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+),* $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("scripts/", $file))),+))
        });)*
    };
}

scripts! {
    APPS_PUT = "apps_put.lua",
    APPS_READ = "foreign.lua" "apps_read.lua",
    AUDIT_APPEND = "foreign.lua" "audit_append.lua",
    BACKLOG = "slot.lua" "foreign.lua" "outbox.lua" "backlog.lua",
    CLAIM = "slot.lua" "foreign.lua" "due.lua" "claim.lua",
    COMMAND_BEGIN = "command_begin.lua",
    COMMAND_FINISH = "command_finish.lua",
    COMMAND_FORGET = "command_forget.lua",
    COMMIT = "slot.lua" "foreign.lua" "rope.lua" "bytes.lua" "outbox.lua" "commit.lua",
    COOLDOWN_REFUND = "foreign.lua" "cooldown_refund.lua",
    COOLDOWN_TAKE = "foreign.lua" "cooldown_take.lua",
    DIAL_SLOT_TAKE = "foreign.lua" "dial_slot_take.lua",
    DIAL_SLOTS_FREE = "foreign.lua" "dial_slots_free.lua",
    DELIVERIES_LIST = "slot.lua" "foreign.lua" "deliveries_list.lua",
    FAN_OUT = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "fan_out.lua",
    FINISH = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "finish.lua",
    FORGET_ENDPOINT = "slot.lua" "foreign.lua" "delivery_bytes.lua" "forget_endpoint.lua",
    HEALTH = "slot.lua" "foreign.lua" "health.lua",
    LEASE_ACQUIRE = "foreign.lua" "lease_acquire.lua",
    LEASE_RELEASE = "foreign.lua" "lease_release.lua",
    LIST = "slot.lua" "foreign.lua" "rope.lua" "list.lua",
    LIST_ALL = "slot.lua" "foreign.lua" "rope.lua" "list_all.lua",
    LIVE = "slot.lua" "foreign.lua" "live.lua",
    NAME_CONFIRM = "name_confirm.lua",
    NAME_FREE = "name_free.lua",
    NAME_RESERVE = "name_reserve.lua",
    NOTICE = "foreign.lua" "notice.lua",
    OUTBOX_AFTER = "slot.lua" "foreign.lua" "outbox.lua" "outbox_after.lua",
    OUTBOX_MEND = "slot.lua" "foreign.lua" "due.lua" "outbox.lua" "outbox_mend.lua",
    OUTBOX_NOTE = "foreign.lua" "outbox.lua" "outbox_note.lua",
    RECOUNT = "foreign.lua" "recount.lua",
    RECOVER = "slot.lua" "foreign.lua" "due.lua" "recover.lua",
    REDELIVER = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "redeliver.lua",
    RETRY_ENDPOINT = "slot.lua" "foreign.lua" "due.lua" "retry_endpoint.lua",
    TOKENS_TAKE = "foreign.lua" "tokens_take.lua",
    USAGE = "foreign.lua" "usage.lua",
    VIEWS_LIST = "slot.lua" "foreign.lua" "rope.lua" "views_list.lua",
}
