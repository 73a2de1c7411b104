//! The end-to-end tests: one binary, one module a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod architecture;
mod backup;
mod bench;
mod crash;
mod demo;
mod drill;
mod embedded;
mod import;
mod outage;
mod participants;
mod people;
mod place_order;
mod processes;
mod repeats;
mod replica;
mod restore;
mod returns;
mod sagas;
mod sagas_asked;
mod side_by_side;
mod start;
mod storm;
mod support;
mod warehouse;
