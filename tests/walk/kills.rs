//! The walk, while the controller is killed and started again between any two of its steps.
