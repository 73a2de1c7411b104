//! The end-to-end tests: one binary, one module a subject.

mod architecture;
mod embedded;
mod participants;
