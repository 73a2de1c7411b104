//! Where in a partition the records after a place begin. Committed offsets aren't asked: places rise with offsets, so a
//! binary search finds it, in all partitions side by side. Blocks.
//!
//! A record bears witness of where it lies only if the one after it names it: one that was doubled, moved or given up, or isn't ours,
//! leads nobody astray. The last one is named by none, so it must name the one right before it.
use crate::{
    MirrorError, Place, Routing, chain,
    lanes::Lanes,
    topics::{Lane, Quiet},
    wire::Decoded,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;

/// Where so few records are left, all of them are read: about as many as come with one anyway, in a batch of the producer's.
const FEW: i64 = 256;

/// Where a lane is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) offset: i64,
    /// The record before it; `None`: none is there.
    pub(crate) before: Option<Place>,
}

/// What is known of a partition: before `low` all is within, at `high` and beyond nothing is, but perhaps the last record.
struct Search {
    low: i64,
    high: i64,
    before: Option<Place>,
    last: Option<Last>,
}

/// The last record of a partition.
struct Last {
    offset: i64,
    record: Decoded,
    /// From here on it is known to be the first as well.
    alone_from: i64,
}

impl Search {
    fn between((low, high): (i64, i64)) -> Search {
        Search { low, high, before: None, last: None }
    }

    /// Where to look next; `None`: all is known.
    fn middle(&self) -> Option<i64> {
        match self.high - self.low {
            i64::MIN..=0 => None,
            1..=FEW => Some(self.low),
            left => Some(self.low + left / 2),
        }
    }

    /// Looks once from there on.
    fn look(
        &mut self,
        middle: i64,
        mut next: impl FnMut() -> Result<Option<(i64, Decoded)>, MirrorError>,
        within: &mut impl FnMut(&Decoded) -> Result<bool, MirrorError>,
    ) -> Result<(), MirrorError> {
        let reads_on = middle == self.low;
        // A witness if the next one names it.
        let mut read: Option<(i64, Decoded)> = None;
        let mut alone_from = middle;
        while let Some(next) = next()? {
            let names = next.1.prev;
            let Some((offset, witness)) = read.replace(next) else { continue };
            alone_from = offset + 1;
            if names != witness.place() {
                continue;
            }
            if !within(&witness)? {
                self.high = middle.max(self.low);
                return Ok(());
            }
            self.low = offset + 1;
            self.before = Some(witness.place());
            if !reads_on || self.low >= self.high {
                return Ok(());
            }
        }
        // The last one is judged when it is known what lies before it. Without one there is nothing but markers from there on.
        if let Some((offset, record)) = read {
            self.last = Some(Last { offset, record, alone_from });
        }
        self.high = middle.max(self.low);
        Ok(())
    }

    fn begin(self, within: &mut impl FnMut(&Decoded) -> Result<bool, MirrorError>) -> Result<Begin, MirrorError> {
        if let Some(Last { offset, record, alone_from }) = &self.last
            // Nothing lies between: it was the last that named the one before it, if there is one.
            && self.low >= *alone_from
            && within(record)?
        {
            return Ok(Begin { offset: offset + 1, before: Some(record.place()) });
        }
        Ok(Begin { offset: self.low, before: self.before })
    }
}

/// For each lane, in order: where its records after this place begin. The consumer is good for another search, and nothing else.
pub(crate) fn offsets_after(
    consumer: &Arc<BaseConsumer<Quiet>>,
    routing: &Routing,
    after: Place,
) -> Result<Vec<Begin>, MirrorError> {
    if after == Place::START {
        let first = chain::first_offsets(consumer, routing)?;
        return Ok(first.into_iter().map(|offset| Begin { offset, before: None }).collect());
    }
    offsets_beyond(consumer, routing, |found| Ok(found.place() <= after))
}

/// For each lane, in order: from where on no record is `within`, which none must be after one that isn't.
pub(crate) fn offsets_beyond(
    consumer: &Arc<BaseConsumer<Quiet>>,
    routing: &Routing,
    mut within: impl FnMut(&Decoded) -> Result<bool, MirrorError>,
) -> Result<Vec<Begin>, MirrorError> {
    let mut searches: Vec<Search> = chain::watermarks(consumer, routing)?.into_iter().map(Search::between).collect();
    loop {
        let unknown = searches.iter().enumerate().filter_map(|(lane, search)| Some((Lane(lane), search.middle()?)));
        let looks: Vec<(Lane, i64)> = unknown.collect();
        if looks.is_empty() {
            break;
        }
        // Each from a queue of its own: while one is waited for, no more than a little of the others is fetched.
        let lanes = Lanes::open(consumer.clone(), routing, &looks)?;
        for (lane, middle) in looks {
            let next = || lanes.read_own(routing, lane, "a position is looked for");
            searches[lane.0].look(middle, next, &mut within)?;
        }
    }
    consumer.unassign()?;
    searches.into_iter().map(|search| search.begin(&mut within)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventstore::{Incarnation, Position, StreamId, contract::given};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn place(position: i64) -> Place {
        Place { incarnation: Incarnation(1), position: Position(position) }
    }

    fn record(position: i64, prev: Place) -> Decoded {
        let event = given::recorded(StreamId::new(Uuid::nil(), "order"), position);
        Decoded { event, prev, refill: None, lives: vec![] }
    }

    /// A partition: records by offset; between them are markers.
    struct Partition(Vec<(i64, Decoded)>);

    impl Partition {
        /// `gaps`: how far each position lies beyond the one before, and each offset.
        fn of(gaps: &[(i64, i64)]) -> Partition {
            let (mut offset, mut last) = (0, Place::START);
            let records = gaps.iter().map(|(further, markers)| {
                offset += markers;
                let decoded = record(last.position.0 + further, last);
                last = decoded.place();
                offset += 1;
                (offset - 1, decoded)
            });
            Partition(records.collect())
        }

        fn end(&self) -> i64 {
            self.0.last().map_or(0, |(offset, _)| offset + 2)
        }

        /// Answers how often it looked and how many records it read as well.
        fn search(&self, after: Place) -> (Begin, usize, usize) {
            let mut within = |found: &Decoded| Ok(found.place() <= after);
            let (mut search, mut looks, mut read) = (Search::between((0, self.end())), 0, 0);
            while let Some(middle) = search.middle() {
                let mut rest = self.0.iter().skip_while(|(offset, _)| *offset < middle).cloned();
                let next = || {
                    read += 1;
                    Ok(rest.next())
                };
                search.look(middle, next, &mut within).unwrap();
                looks += 1;
            }
            (search.begin(&mut within).unwrap(), looks, read)
        }
    }

    fn gaps() -> impl Strategy<Value = Vec<(i64, i64)>> {
        prop_oneof![
            prop::collection::vec((1..4_i64, 0..2_i64), 0..12),
            prop::collection::vec((1..4_i64, 0..3_i64), 0..1_500),
        ]
    }

    proptest! {
        #[test]
        fn it_finds_the_very_record_by_reading_a_few(gaps in gaps(), at in 0.0..1.1_f64) {
            let partition = Partition::of(&gaps);
            let highest = partition.0.last().map_or(0, |(_, last)| last.event.position.0);
            let after = place((highest as f64 * at) as i64);
            let (begin, looks, read) = partition.search(after);
            let last_within = partition.0.iter().rev().find(|(_, found)| found.place() <= after);
            prop_assert_eq!(begin.before, last_within.map(|(_, found)| found.place()));
            let beyond = partition.0.iter().find(|(_, found)| found.place() > after);
            prop_assert!(last_within.is_none_or(|(offset, _)| *offset < begin.offset));
            prop_assert!(beyond.is_none_or(|(offset, _)| *offset >= begin.offset));
            // Of 4,500 offsets at most.
            prop_assert!(looks <= 6 && read <= 2 * looks + FEW as usize, "{looks} looks, {read} of {}", partition.0.len());
        }

        /// Copies of records lie anywhere, none right after another.
        #[test]
        fn copies_lead_it_past_nothing(
            gaps in gaps(),
            copies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..800),
            at in 0.0..1.1_f64,
        ) {
            let mut partition = Partition::of(&gaps);
            let own: Vec<Decoded> = partition.0.iter().map(|(_, found)| found.clone()).collect();
            prop_assume!(!own.is_empty());
            // Behind which of the partition's own records a copy lies, and of which.
            let copies: std::collections::BTreeMap<usize, usize> =
                copies.iter().map(|(behind, of)| (behind.index(own.len()), of.index(own.len()))).collect();
            let with_copies: Vec<(bool, Decoded)> = own
                .iter()
                .enumerate()
                .flat_map(|(n, found)| {
                    let copy = copies.get(&n).map(|of| (false, own[*of].clone()));
                    std::iter::once((true, found.clone())).chain(copy)
                })
                .collect();
            partition.0 = (0..).zip(with_copies.iter().map(|(_, found)| found.clone())).collect();
            let highest = own.last().map_or(0, |last| last.event.position.0);
            let after = place((highest as f64 * at) as i64);
            let (begin, ..) = partition.search(after);
            prop_assert!(begin.before.is_none_or(|before| before <= after));
            for ((offset, found), (is_own, _)) in partition.0.iter().zip(&with_copies) {
                prop_assert!(!*is_own || found.place() <= after || *offset >= begin.offset);
            }
        }
    }
}
