//! Records in our topics that aren't ours: somebody wrote there by mistake. Each is passed over, told once and counted once by a process.
//!
//! It decides nothing: whoever passes one over knows by the chain of `waybill-prev` that it was none of ours.
use crate::{Routing, error::WireError, topics::Lane};
use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

/// So many are remembered as told. Past that all are forgotten, and those that are still met are told again.
const REMEMBERED: usize = 4_096;

type Place = (String, i32, i64);

static TOLD: LazyLock<Mutex<HashSet<Place>>> = LazyLock::new(Mutex::default);

pub(crate) fn pass_over(routing: &Routing, lane: Lane, offset: i64, error: &WireError) {
    let (topic, partition) = routing.place_of(lane);
    let topic = routing.name(topic);
    if !is_news(&mut TOLD.lock().unwrap_or_else(PoisonError::into_inner), (topic.to_owned(), partition, offset)) {
        return;
    }
    metrics::counter!("waybill_foreign_records_total", "topic" => topic.to_owned()).increment(1);
    tracing::error!(topic, partition, offset, %error, "a record that isn't Waybill's lies in its topic; it is passed over");
}

fn is_news(told: &mut HashSet<Place>, place: Place) -> bool {
    if told.len() >= REMEMBERED && !told.contains(&place) {
        told.clear();
    }
    told.insert(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_record_is_told_once_and_what_is_remembered_of_them_is_bounded() {
        let mut told = HashSet::new();
        let place = |offset| ("waybill.order.v1".to_owned(), 1, offset);
        assert!(is_news(&mut told, place(7)));
        assert!(!is_news(&mut told, place(7)));
        for offset in 0..10_000 {
            is_news(&mut told, place(offset));
            assert!(told.len() <= REMEMBERED);
        }
        assert!(!is_news(&mut told, place(9_999)));
    }
}
