//! Recorded events that are no event of today, or several.
use crate::{
    given::{Given, placed},
    narrative::story,
    projections::{
        batch::{Decoded, fold},
        history::History,
    },
};
use domain::order::{CancelReason, CancelRequested, OrderCancelled};
use eventstore::{EventStore, Position};
use std::collections::HashMap;

#[tokio::test]
async fn a_retired_event_moves_the_position_and_tells_nothing_and_a_split_one_is_told_in_one_line() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.cancel(order).await;
    given.cancel(order).await;
    let recorded = given.store.read_log(Position::ZERO, 10).await.unwrap();
    let mut events: Vec<_> = recorded.into_iter().map(|recorded| Decoded::decode(recorded).unwrap()).collect();
    assert_eq!(events.len(), 3);
    events[1].events = domain::Decoded::Retired;
    let cancelled = OrderCancelled { reason: CancelReason::Requested };
    events[2].events = domain::Decoded::Several(vec![CancelRequested { note_id: None }.into(), cancelled.into()]);

    let mut histories = HashMap::from([(order.0, History::new(order.0))]);
    let (_, changed) = fold(&events[..2], &mut histories).unwrap();
    assert_eq!((changed[0].version, changed[0].position, changed[0].ended), (2, Position(2), false));

    let (_, changed) = fold(&events[2..], &mut histories).unwrap();
    assert_eq!((changed[0].version, changed[0].position, changed[0].ended), (3, Position(3), true));

    let [placed, line] = story(&events).try_into().unwrap();
    assert_eq!((placed.position, line.position), (Position(1), Position(3)));
    assert_eq!(line.summary.matches("; ").count(), 1, "{}", line.summary);
}
