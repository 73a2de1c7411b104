//! The faults that are known: each once, with the range that it was last seen in. Bounded.
use crate::{ChainFault, FaultKind};
use eventstore::Position;
use std::collections::BTreeMap;

/// Faults that are kept. What is found beyond that is told in the log's count alone.
const MAX_KNOWN: usize = 10_000;

/// What makes it one and the same: it may be seen again from another range.
type Key = (FaultKind, String, i32, Option<i64>, Position);

#[derive(Debug, Default)]
pub(super) struct Known {
    faults: BTreeMap<Key, (i64, ChainFault)>,
}

fn key(fault: &ChainFault) -> Key {
    (fault.kind, fault.topic.clone(), fault.partition, fault.offset, fault.position)
}

impl Known {
    /// What a look at a range, by its number, has found; `afresh`: at the whole of it, so that what isn't found any more is none. Answers
    /// what wasn't known before.
    pub(super) fn learn(&mut self, number: i64, afresh: bool, found: Vec<ChainFault>) -> Vec<ChainFault> {
        let news = found.iter().filter(|fault| !self.faults.contains_key(&key(fault))).cloned().collect();
        if afresh {
            self.faults.retain(|_, (of, _)| *of != number);
        }
        for fault in found {
            let key = key(&fault);
            if self.faults.len() < MAX_KNOWN || self.faults.contains_key(&key) {
                self.faults.insert(key, (number, fault));
            }
        }
        news
    }

    /// Forgets what was found in this range and in later ones.
    pub(super) fn forget_from(&mut self, number: i64) {
        self.faults.retain(|_, (of, _)| *of < number);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.faults.len()
    }

    pub(super) fn count(&self, kind: FaultKind) -> usize {
        self.faults.keys().filter(|(of, ..)| *of == kind).count()
    }

    pub(super) fn first(&self, count: usize) -> Vec<ChainFault> {
        self.faults.values().take(count).map(|(_, fault)| fault.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(position: i64) -> ChainFault {
        ChainFault {
            kind: FaultKind::Missing,
            topic: "waybill.order.v1".into(),
            partition: 1,
            offset: None,
            position: Position(position),
            detail: String::new(),
        }
    }

    #[test]
    fn a_fault_stays_known_while_other_ranges_are_clean_and_until_its_own_is() {
        let mut known = Known::default();
        assert_eq!(known.learn(0, true, vec![missing(5)]), [missing(5)]);
        assert_eq!(known.learn(1, true, vec![]), []);
        assert_eq!(known.count(FaultKind::Missing), 1, "another range was clean");
        assert_eq!(known.learn(0, false, vec![]), []);
        assert_eq!(known.count(FaultKind::Missing), 1, "only the rest of its range was looked at");
        assert_eq!(known.learn(0, true, vec![missing(5), missing(6)]), [missing(6)], "the one is no news");
        assert_eq!(known.learn(0, true, vec![missing(6)]), []);
        assert_eq!(known.first(9), [missing(6)]);
        known.learn(0, true, vec![]);
        assert!(known.is_empty());
    }

    #[test]
    fn a_fault_that_is_seen_from_two_ranges_is_one() {
        let mut known = Known::default();
        known.learn(0, true, vec![missing(5)]);
        assert_eq!(known.learn(1, true, vec![missing(5)]), []);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn what_is_known_has_a_bound() {
        let mut known = Known::default();
        for number in 0..30 {
            known.learn(number, true, (0..1_000).map(|n| missing(number * 1_000 + n)).collect());
        }
        assert_eq!(known.len(), MAX_KNOWN);
        known.forget_from(3);
        assert_eq!(known.len(), 3_000);
    }
}
