//! The identity of a client by its address.

use std::net::{IpAddr, Ipv6Addr};

/// Identifies a client by its IPv4 address, or by the /64 of its IPv6 address, which is the least that a client gets.
pub(super) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
