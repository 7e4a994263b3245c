//! The machine's clock. The pure modules are given the time as an argument.

use roomkeeper_core::time::Timestamp;

/// Returns the present time, to the microsecond.
pub fn now() -> Timestamp {
    let micros = jiff::Timestamp::now().as_microsecond();
    // Before 1970 the clock is not set.
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
}
