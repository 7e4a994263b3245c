//! freeswitch
