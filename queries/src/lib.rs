//! The read side: projections that turn the log into rows, and the GraphQL schema that answers from them.
//!
//! - `projections` folds each order's history and writes rows and checkpoint in one transaction. Every row is a function of the
//!   history alone, so a replay gives the same rows again.
//! - `narrative` says each event in a plain sentence.
//! - `graphql` answers a query from one snapshot of the rows, and says which position that reflects.
//!
//! Invariants: nothing here writes an event; nothing here is read by a decision. It may not know HTTP, nor `commands` and `sagas`.
//! SQL lies in `sql` alone.
#[cfg(test)]
mod given;
pub mod graphql;
pub mod narrative;
pub mod projections;
mod sql;
