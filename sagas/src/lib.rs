//! sagas
pub mod participants;
