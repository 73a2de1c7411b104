//! The mirror on real Apache Kafka.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test panics when what it tests fails")]
mod audit;
mod cluster;
mod docs;
mod feed;
mod foreign;
mod in_process;
mod processes;
mod recover;
mod relay;
mod support;
mod trimmed;
mod verify;
