//! Several instances on one database.
use super::support::wait_for_lock_waits;
use super::{store, store_on};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::contract::race::{Dice, all_at_once};
use eventstore::{
    AppendError, EventFeed, EventStore, Fence, MemoryEventStore, PgEventStore, Position, Slot, StoreFeed, StreamId,
};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_follows_two_instances_misses_nothing_and_doubles_nothing() {
    let (one, database) = store().await;
    let two = store_on(&database).await;
    let reader = store_on(&database).await;
    let contested: Vec<StreamId> = (0..4).map(|_| stream()).collect();
    let mut feed = StoreFeed::new(reader, Position::ZERO);
    let writers = tokio::spawn(all_at_once((0..32_u64).map(move |seed| {
        let store: Arc<PgEventStore> = if seed % 2 == 0 { one.clone() } else { two.clone() };
        let contested = contested.clone();
        async move {
            let mut dice = Dice::new(seed);
            let mut written = 0;
            for _ in 0..25 {
                let fought = &contested[dice.roll(4) as usize];
                let known = store.read_streams(fought.id).await.unwrap().len() as i32;
                let given = append().with(&stream(), 0, &["a", "b"]).with(fought, known, &["c"]);
                match store.append(given).await {
                    Ok(_) => written += 3,
                    Err(AppendError::Conflict { .. }) => {}
                    Err(other) => panic!("seed {seed}: {other:?}"),
                }
            }
            written
        }
    })));
    let mut events = Vec::new();
    let mut wanted = None;
    let mut writers = Some(writers);
    while wanted.is_none_or(|wanted| events.len() < wanted) {
        if let Ok(next) = tokio::time::timeout(Duration::from_millis(200), feed.next(50)).await {
            events.extend(next.unwrap());
        }
        if let Some(finished) = writers.take_if(|writers| writers.is_finished()) {
            wanted = Some(finished.await.unwrap().into_iter().sum::<usize>());
        }
    }
    assert_eq!(Some(events.len()), wanted);
    assert_whole(&events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_wakes_a_feed_of_another_instance() {
    let (one, database) = store().await;
    let other = store_on(&database).await;
    let mut watch = other.watch_head();
    // Until its connection listens, only the head read at its start is sure.
    tokio::time::sleep(Duration::from_millis(500)).await;
    one.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(2), watch.wait_for(|head| *head == Position(2))).await;
    assert!(woken.is_ok(), "told by NOTIFY, well before the feed looks by itself");
}

/// Owners take the slot from each other while both append: of every epoch, all that was written lies before all of the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_under_an_older_epoch_lies_before_the_takeover() {
    let (one, database) = store().await;
    let two = store_on(&database).await;
    let slot = Slot(9);
    let written = all_at_once([one.clone(), two].into_iter().map(|store| async move {
        let owner = Uuid::now_v7();
        let mut written = Vec::new();
        for _ in 0..40 {
            // A lease of no duration: whoever asks gets it, as if the other had been frozen.
            let Some(lease) = store.take_leases(&[slot], owner, Duration::ZERO).await.unwrap().pop() else { continue };
            let head = store.head().await.unwrap().position;
            for _ in 0..3 {
                let fence = Fence { slot, epoch: lease.epoch };
                match store.append(append().with(&stream(), 0, &["a"]).fenced(fence)).await {
                    Ok(appended) => {
                        assert!(appended.first > head);
                        written.push((lease.epoch, appended.first));
                    }
                    Err(AppendError::Fenced { .. }) => break,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        written
    }))
    .await;
    let mut written: Vec<_> = written.into_iter().flatten().collect();
    written.sort_by_key(|(_, position)| *position);
    assert!(written.is_sorted_by_key(|(epoch, _)| *epoch), "{written:?}");
    assert!(written.last().unwrap().0 > 3, "the slot has changed hands: {written:?}");
    assert_eq!(everything(&*one).await.len(), written.len());
}

/// An append that has passed its fence but isn't committed yet: the takeover waits for it, so that the new owner sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_waits_for_the_append_that_is_under_way() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let (slot, two) = (Slot(9), Uuid::now_v7());
    let epoch = store.take_leases(&[slot], Uuid::now_v7(), Duration::ZERO).await.unwrap()[0].epoch;
    store.append(append().changing("stock", 5, None)).await.unwrap();

    // Balances are written last: who holds one stops the append past its fence.
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM balances FOR UPDATE").execute(&mut *holder).await.unwrap();
    let given = append().with(&stream(), 0, &["a"]).changing("stock", 1, None).fenced(Fence { slot, epoch });
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(given).await }
    });
    wait_for_lock_waits(&pool, 1).await;
    let taking = tokio::spawn({
        let store = store.clone();
        async move { (store.take_leases(&[slot], two, Duration::ZERO).await.unwrap(), store.head().await.unwrap().position) }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!appending.is_finished() && !taking.is_finished());
    holder.rollback().await.unwrap();
    let (leases, seen) = taking.await.unwrap();
    assert_eq!(leases[0].epoch, epoch + 1);
    assert_eq!(appending.await.unwrap().unwrap().last, seen);
}

/// Replayed in the order of the log, all that PostgreSQL took is taken by the store in memory too, and leads to the same state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_appended_at_once_equals_the_model_one_after_the_other() {
    for seed in 0..6_u64 {
        let (store, _database) = store().await;
        let streams: Vec<StreamId> = (0..6).map(|_| stream()).collect();
        let mut dice = Dice::new(seed);
        let appends: Vec<_> = (0..150).map(|_| random_append(&mut dice, &streams)).collect();
        let outcomes = all_at_once(appends.iter().cloned().map(|given| {
            let store = store.clone();
            async move { store.append(given).await }
        }))
        .await;

        // Those that were taken, in the order of the log: the model takes them all, at the same places.
        let mut taken: Vec<_> = appends.iter().zip(&outcomes).filter_map(|(a, o)| Some((o.clone().ok()?, a))).collect();
        taken.sort_by_key(|(appended, _)| appended.first);
        let model = MemoryEventStore::default();
        for (appended, given) in &taken {
            let expected = model.append((*given).clone()).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert_eq!((expected.first, expected.last), (appended.first, appended.last), "seed {seed}");
        }
        assert!(outcomes.iter().any(Result::is_err) && outcomes.iter().any(Result::is_ok), "seed {seed} shows nothing");
        assert_eq!(
            store.list_balances("", "", 100).await.unwrap(),
            model.list_balances("", "", 100).await.unwrap(),
            "seed {seed}"
        );
        let (events, expected) = (everything(&*store).await, everything(&model).await);
        assert_whole(&events);
        assert_eq!(events.len(), expected.len(), "seed {seed}");
        for (event, expected) in events.iter().zip(&expected) {
            assert_eq!((&event.stream, event.version), (&expected.stream, expected.version), "seed {seed}");
            assert_eq!(event.metadata.command_id, expected.metadata.command_id, "seed {seed}");
        }
        for n in 0..40 {
            let key = format!("key-{n}");
            let claim = store.claim("order_ref:dev", &key).await.unwrap();
            assert_eq!(claim, model.claim("order_ref:dev", &key).await.unwrap(), "seed {seed}");
        }
        assert!(
            store.list_balances("", "", 100).await.unwrap().iter().all(|(_, balance)| *balance >= 0),
            "seed {seed}"
        );
    }
}

fn random_append(dice: &mut Dice, streams: &[StreamId]) -> eventstore::Append {
    let mut given = append();
    if dice.roll(4) == 0 {
        given = given.with_any(&streams[dice.roll(6) as usize], &["any"]);
    } else {
        given = given.with(&stream(), 0, &["a", "b"]);
        if dice.roll(3) == 0 {
            given = given.with(&streams[dice.roll(6) as usize], dice.roll(3) as i32, &["c"]);
        }
    }
    for _ in 0..dice.roll(3) {
        let account = format!("account-{}", dice.roll(3));
        let delta = dice.roll(9) as i64 - 4;
        given = given.changing(&account, delta, (delta < 0).then_some(0));
    }
    if dice.roll(2) == 0 {
        given = given.claiming(&format!("key-{}", dice.roll(40)), &format!("holder-{}", dice.roll(1_000)));
    }
    given
}
