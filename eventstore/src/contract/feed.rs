//! The feed: each event once, in order, none left out.
use super::given::{append, assert_whole, stream};
use super::race::all_at_once;
use crate::{EventFeed, EventStore, Position, RecordedEvent};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

async fn read(feed: &mut dyn EventFeed, count: usize, max: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let next = tokio::time::timeout(SOON, feed.next(max)).await.unwrap().unwrap();
        assert!(!next.is_empty() && next.len() <= max);
        events.extend(next);
    }
    events
}

pub async fn a_feed_answers_each_event_once_and_in_order(
    store: Arc<impl EventStore + 'static>,
    mut feed: Box<dyn EventFeed>,
) {
    for _ in 0..5 {
        store.append(append().with(&stream(), 0, &["a", "b", "c"])).await.unwrap();
    }
    let events = read(&mut *feed, 15, 4).await;
    assert_whole(&events);
    let stored = store.read_log(Position::ZERO, 100).await.unwrap();
    for (fed, stored) in events.iter().zip(&stored) {
        assert_eq!(fed.payload.get(), stored.payload.get());
        assert_eq!(
            (&fed.stream, &fed.metadata, &fed.event_type),
            (&stored.stream, &stored.metadata, &stored.event_type)
        );
        assert_eq!(
            (fed.recorded_at, fed.incarnation, &fed.shop),
            (stored.recorded_at, stored.incarnation, &stored.shop)
        );
    }
}

pub async fn a_feed_waits_for_the_next_event(store: Arc<impl EventStore + 'static>, mut feed: Box<dyn EventFeed>) {
    let waiting = tokio::time::timeout(Duration::from_millis(100), feed.next(10)).await;
    assert!(waiting.is_err(), "there is nothing to answer");
    let (fed, _) = tokio::join!(read(&mut *feed, 1, 10), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.append(append().with(&stream(), 0, &["a"])).await.unwrap()
    });
    assert_eq!(fed[0].position, Position(1));
}

pub async fn a_feed_that_is_dropped_while_it_waits_loses_nothing(
    store: Arc<impl EventStore + 'static>,
    mut feed: Box<dyn EventFeed>,
) {
    let mut events = Vec::new();
    for _ in 0..30 {
        store.append(append().with(&stream(), 0, &["a"])).await.unwrap();
        if let Ok(next) = tokio::time::timeout(Duration::from_micros(300), feed.next(10)).await {
            events.extend(next.unwrap());
        }
    }
    let left = 30 - events.len();
    events.extend(read(&mut *feed, left, 10).await);
    assert_eq!(events.len(), 30);
    assert_whole(&events);
}

pub async fn a_feed_keeps_up_with_many_who_append(store: Arc<impl EventStore + 'static>, mut feed: Box<dyn EventFeed>) {
    let writers = tokio::spawn(all_at_once((0..16).map(move |_| {
        let store = store.clone();
        async move {
            for _ in 0..25 {
                store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
            }
        }
    })));
    let events = read(&mut *feed, 800, 64).await;
    assert_eq!(events.len(), 800);
    assert_whole(&events);
    writers.await.unwrap();
}
