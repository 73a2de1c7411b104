//! The parts of the `waybill` binary: composition, embedded servers, the command line.
pub mod backup;
pub mod bootstrap;
pub mod cli;
pub mod config;
pub mod connections;
mod edge;
pub mod elsewhere;
pub mod embedded;
pub mod erasures;
pub mod graphql;
pub mod health;
pub mod lifecycle;
pub mod master_keys;
pub mod replica;
pub mod simulate;
pub mod telemetry;
pub mod tls;
pub mod wiring;
