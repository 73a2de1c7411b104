//! What a process is for. Every role runs alone or with others, in any number, on one PostgreSQL and one Kafka.
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Deserialize;
use std::{collections::BTreeSet, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// REST and GraphQL
    Api,
    /// Carries the log to Kafka; of several one is at work
    Relay,
    /// Drives the sagas of its share of the slots
    Sagas,
    /// Keeps the read model up with the log; of several one is at work
    Projections,
    /// Copies the log from Kafka into a database of its own, for projections and GraphQL far from the store
    Replica,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Relay => "relay",
            Role::Sagas => "sagas",
            Role::Projections => "projections",
            Role::Replica => "replica",
        }
    }
}

/// At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Everything but the replica: a process that needs no other.
    pub fn all() -> Roles {
        Roles([Role::Api, Role::Relay, Role::Sagas, Role::Projections].into())
    }

    /// Refuses what can't work in one process.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Result<Roles> {
        let roles = Roles(roles.into_iter().collect());
        if roles.0.is_empty() {
            bail!("name at least one role, for example --role api,relay");
        }
        if roles.has(Role::Replica) {
            for other in [Role::Relay, Role::Sagas] {
                if roles.has(other) {
                    bail!(
                        "replica and {} can't be roles of one process: a replica's log is a copy, nothing is appended to it",
                        other.name()
                    );
                }
            }
        }
        Ok(roles)
    }

    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether it may append: a replica's process doesn't.
    pub fn append(&self) -> bool {
        !self.has(Role::Replica)
    }
}

/// `api,relay`.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_no_part_in_what_appends() {
        assert!(Roles::of([Role::Replica, Role::Projections, Role::Api]).is_ok());
        for other in [Role::Sagas, Role::Relay] {
            let error = Roles::of([Role::Replica, other]).unwrap_err().to_string();
            assert!(error.contains(other.name()), "{error}");
        }
        assert!(Roles::of([]).is_err());
        assert_eq!(Roles::all().to_string(), "api,relay,sagas,projections");
    }
}
