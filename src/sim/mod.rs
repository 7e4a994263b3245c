//! A simulated FreeSWITCH node.
