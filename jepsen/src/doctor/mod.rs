//! Which faults this host can make.
