//! Persons' keys in memory, and the master keys that they lie under.
use super::MemoryEventStore;
use crate::vault::{KnownPerson, MasterKeys, PersonKeys, WrappedKey, WrappedSecret};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Persons, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct People {
    persons: Vec<Kept>,
    masters: Vec<String>,
    secrets: BTreeMap<String, WrappedSecret>,
}

/// Without its bytes once it is erased.
#[derive(Clone, Debug)]
struct Kept {
    key: WrappedKey,
    erased_at: Option<DateTime<Utc>>,
}

impl Kept {
    fn known(&self) -> KnownPerson {
        let WrappedKey { person, shop, reference, former, .. } = &self.key;
        KnownPerson {
            person: *person,
            shop: shop.clone(),
            reference: former.as_ref().unwrap_or(reference).clone(),
            parted: former.is_some() || self.erased_at.is_some(),
            erased_at: self.erased_at,
        }
    }
}

impl People {
    /// Those who are not erased.
    fn keys(&self) -> impl Iterator<Item = &WrappedKey> {
        self.persons.iter().filter(|kept| kept.erased_at.is_none()).map(|kept| &kept.key)
    }
}

#[async_trait]
impl PersonKeys for MemoryEventStore {
    async fn person_key(&self, fresh: WrappedKey) -> Result<Option<WrappedKey>, AppendError> {
        let people = &mut self.state().people;
        let is_it = |kept: &&WrappedKey| kept.shop == fresh.shop && kept.reference == fresh.reference;
        if let Some(kept) = people.keys().find(is_it) {
            return Ok(Some(kept.clone()));
        }
        if people.masters.last().is_some_and(|current| *current != fresh.master_key) {
            return Ok(None);
        }
        people.persons.push(Kept { key: fresh.clone(), erased_at: None });
        Ok(Some(fresh))
    }

    async fn key_of(&self, person: Uuid) -> Result<Option<WrappedKey>, ReadError> {
        Ok(self.state().people.keys().find(|kept| kept.person == person).cloned())
    }

    async fn replace_key(&self, kept: &WrappedKey, new: &WrappedKey) -> Result<bool, AppendError> {
        let persons = &mut self.state().people.persons;
        let same = |other: &&mut Kept| other.key.person == kept.person && other.key.wrapped == kept.wrapped;
        let found = persons.iter_mut().filter(|other| other.erased_at.is_none()).find(same);
        Ok(found.map(|found| found.key = new.clone()).is_some())
    }

    async fn erase_key(&self, person: Uuid) -> Result<bool, AppendError> {
        let persons = &mut self.state().people.persons;
        let found = persons.iter_mut().find(|kept| kept.key.person == person && kept.erased_at.is_none());
        Ok(found
            .map(|found| {
                found.key.wrapped.clear();
                found.erased_at = Some(super::now());
            })
            .is_some())
    }

    async fn known_as(&self, shop: &str, reference: &str, limit: usize) -> Result<Vec<KnownPerson>, ReadError> {
        let state = self.state();
        let known = state.people.persons.iter().map(Kept::known);
        let mut known: Vec<_> = known.filter(|known| known.shop == shop && known.reference == reference).collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.person));
        known.truncate(limit);
        Ok(known)
    }

    async fn find_person(&self, person: Uuid) -> Result<Option<KnownPerson>, ReadError> {
        Ok(self.state().people.persons.iter().find(|kept| kept.key.person == person).map(Kept::known))
    }

    async fn subjects_of(&self, person: Uuid, after: Option<Uuid>, limit: usize) -> Result<Vec<Uuid>, ReadError> {
        let state = self.state();
        let of_person = state.sealed.iter().filter(|(_, (whose, _))| *whose == person).map(|(subject, _)| *subject);
        let mut subjects: Vec<_> = of_person.filter(|subject| after.is_none_or(|after| *subject > after)).collect();
        subjects.sort();
        subjects.truncate(limit);
        Ok(subjects)
    }

    async fn subjects_with_timer(
        &self,
        person: Uuid,
        timer: &str,
        limit: usize,
    ) -> Result<(Vec<Uuid>, u64), ReadError> {
        let mut subjects = self.subjects_of(person, None, usize::MAX).await?;
        let state = self.state();
        subjects.retain(|subject| {
            state.timers.keys().any(|(stream, name)| stream.id == *subject && name.as_str() == timer)
        });
        let all = subjects.len() as u64;
        subjects.truncate(limit);
        Ok((subjects, all))
    }
}

#[async_trait]
impl MasterKeys for MemoryEventStore {
    async fn current_master(&self) -> Result<Option<String>, ReadError> {
        Ok(self.state().people.masters.last().cloned())
    }

    async fn announce_master(&self, id: &str, before: Option<&str>) -> Result<bool, AppendError> {
        let masters = &mut self.state().people.masters;
        let is_next = masters.last().map(String::as_str) == before && !masters.iter().any(|known| known == id);
        if is_next {
            masters.push(id.to_owned());
        }
        Ok(is_next)
    }

    async fn secret(&self, name: &str) -> Result<Option<WrappedSecret>, ReadError> {
        Ok(self.state().people.secrets.get(name).cloned())
    }

    async fn keep_secret(&self, kept: Option<&WrappedSecret>, new: &WrappedSecret) -> Result<bool, AppendError> {
        let secrets = &mut self.state().people.secrets;
        let is_so = secrets.get(&new.name) == kept;
        if is_so {
            secrets.insert(new.name.clone(), new.clone());
        }
        Ok(is_so)
    }

    async fn keys_not_under(
        &self,
        master: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WrappedKey>, ReadError> {
        let state = self.state();
        let others = state.people.keys().filter(|kept| kept.master_key != master);
        let mut others: Vec<_> = others.filter(|kept| after.is_none_or(|after| kept.person > after)).cloned().collect();
        others.sort_by_key(|kept| kept.person);
        others.truncate(limit);
        Ok(others)
    }

    async fn under_each_master(&self) -> Result<Vec<(String, u64)>, ReadError> {
        let state = self.state();
        let secrets = state.people.secrets.values().map(|secret| &secret.master_key);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for master in state.people.keys().map(|kept| &kept.master_key).chain(secrets) {
            *counts.entry(master.clone()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }
}
