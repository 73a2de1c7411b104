//! The contract suites on PostgreSQL, and what only a database can do wrong.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test panics when what it tests fails")]
eventstore::store_contract!(store());

mod claim_days;
mod compatibility;
mod disk_full;
mod faults;
mod indexes;
mod instances;
mod lives;
mod long_transactions;
mod model;
mod order;
mod outages;
mod processes;
mod refusals;
mod replica;
mod support;
mod vacuum;

use support::{store, store_on};
