//! A small bounded cache in memory that tells its size and how often it helped, under its name.
use metrics::{counter, gauge};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) struct Cache<K, V> {
    name: &'static str,
    /// How long an entry is believed.
    ttl: Duration,
    generations: Mutex<Generations<K, (V, Instant)>>,
}

/// A bounded map: when the young generation is full it becomes the old one, and what was old is forgotten.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    /// Of each generation.
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize, ttl: Duration) -> Self {
        Cache { name: "unnamed", ttl, generations: Mutex::new(Generations::new(capacity)) }
    }

    /// What its metrics call it.
    pub(crate) fn named(self, name: &'static str) -> Self {
        Cache { name, ..self }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(key).filter(|(_, since)| since.elapsed() < self.ttl).map(|(value, _)| value.clone());
        drop(all);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        counter!("waybill_cache_lookups_total", "cache" => self.name, "outcome" => outcome).increment(1);
        found
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, (value, Instant::now()));
        let held = all.len();
        drop(all);
        gauge!("waybill_cache_entries", "cache" => self.name).set(held as f64);
    }

    pub(crate) fn clear(&self) {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
        drop(all);
        gauge!("waybill_cache_entries", "cache" => self.name).set(0.0);
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Generations { capacity, young: HashMap::new(), old: HashMap::new() }
    }

    /// What is asked for stays.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.add(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.add(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    fn add(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// Says nothing of what is in it: that may be secret.
impl<K, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;
    use std::time::Duration;

    #[test]
    fn it_never_holds_more_than_two_generations_and_keeps_what_is_used() {
        let cache = Cache::new(10, Duration::from_secs(60));
        for n in 0..1_000 {
            cache.insert(n, n);
            assert_eq!(cache.get(&0), Some(0), "used all the time");
        }
        let held = (0..1_000).filter(|n| cache.get(n).is_some()).count();
        assert!(held <= 20, "{held}");
    }

    #[test]
    fn an_entry_is_not_believed_for_ever() {
        let cache = Cache::new(10, Duration::ZERO);
        cache.insert("key", 1);
        assert_eq!(cache.get("key"), None);
    }
}
