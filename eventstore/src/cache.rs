//! A small bounded cache in memory. Two generations: when the young one is full it becomes the old one, and what was old is forgotten.
//! It tells its size and how often it helped, under its name.
use metrics::{counter, gauge};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) struct Cache<K, V> {
    name: &'static str,
    /// Of each generation.
    capacity: usize,
    /// How long an entry is believed.
    ttl: Duration,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, (V, Instant)>,
    old: HashMap<K, (V, Instant)>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize, ttl: Duration) -> Self {
        let generations = Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Cache { name: "unnamed", capacity, ttl, generations }
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
        if let Some((key, value)) = all.old.remove_entry(key) {
            all.insert(key, value, self.capacity);
        }
        let found = all.young.get(key).filter(|(_, since)| since.elapsed() < self.ttl).map(|(value, _)| value.clone());
        drop(all);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        counter!("waybill_cache_lookups_total", "cache" => self.name, "outcome" => outcome).increment(1);
        found
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        all.old.remove(&key);
        all.insert(key, (value, Instant::now()), self.capacity);
        let held = all.young.len() + all.old.len();
        drop(all);
        gauge!("waybill_cache_entries", "cache" => self.name).set(held as f64);
    }

    pub(crate) fn clear(&self) {
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        all.young.clear();
        all.old.clear();
        drop(all);
        gauge!("waybill_cache_entries", "cache" => self.name).set(0.0);
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: (V, Instant), capacity: usize) {
        if self.young.len() >= capacity && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// Says nothing of what is in it: that may be secret.
impl<K, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("capacity", &self.capacity).finish_non_exhaustive()
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
