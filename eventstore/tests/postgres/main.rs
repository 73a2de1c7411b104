//! The contract suites on PostgreSQL, and what only a database can do wrong.
#![expect(clippy::unwrap_used, reason = "a test panics when what it tests fails")]
eventstore::store_contract!(store());

mod claim_days;
mod faults;
mod lives;
mod instances;
mod long_transactions;
mod order;
mod processes;
mod support;

use support::{store, store_on};
