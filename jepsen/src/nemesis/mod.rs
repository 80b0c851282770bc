//! Faults: what can be done to a cluster under load.
