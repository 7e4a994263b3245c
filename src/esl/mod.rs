//! The Event Socket protocol.
