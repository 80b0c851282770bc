//! The process of a node: configuration, telemetry, the native gRPC services, start and drain.
//!
//! ```text
//!  Config ──► Server::start ──► store, broker::Node, gRPC (clients and other nodes), HTTP (metrics, health)
//!                  │
//!                  └── run until asked to stop, or until the store or a group fails ──► hand over, drain, close
//! ```
//!
//! What it is not: it decides nothing. Every call is one call of the broker's API, translated.

mod config;
mod connection;
mod dev;
mod http;
mod remote;
mod server;
mod services;
pub mod telemetry;

pub use config::{Config, Listen, LogFormat, Problems, SETTINGS, Setting, Source};
pub use dev::{DevCluster, DevOptions};
pub use server::{Server, ServerError, Stopped};
