//! Timers, leases and fences; sealed data.
use super::given::{append, at, everything, stream};
use crate::{AppendError, EventStore, Fence, Position, Slot, SlotOwner, StreamId, TimerMove, VaultEntry, slot_of};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);
const LAST: Position = Position(i64::MAX);

fn all_slots() -> Vec<Slot> {
    (0..=u8::MAX).map(Slot).collect()
}

/// A stream of this slot.
fn stream_in(slot: u8) -> StreamId {
    let mut id = *Uuid::now_v7().as_bytes();
    id[15] = slot;
    StreamId::new(Uuid::from_bytes(id), "order")
}

pub async fn a_timer_is_set_moved_and_cleared(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let slots = [slot_of(order.id)];
    store.append(append().with(&order, 0, &["a"]).setting(&order, "saga", at(1))).await.unwrap();
    let timers = store.timers(&slots, None, 10).await.unwrap();
    assert_eq!((&timers[0].stream, timers[0].name.as_str(), timers[0].due_at), (&order, "saga", at(1)));
    assert_eq!(timers[0].set_at, Some(at(0)));
    let moved = async |name: &'static str, due, set| {
        let to = TimerMove { stream: order.clone(), name: name.into(), due_at: at(due), set_at: at(set), upto: LAST };
        store.move_timers(&[to]).await.unwrap();
    };

    store.append(append().with(&order, 1, &["b"]).setting(&order, "saga", at(2))).await.unwrap();
    moved("other", 9, 8).await;
    let timers = store.timers(&slots, None, 10).await.unwrap();
    assert_eq!(timers.iter().map(|timer| timer.due_at).collect::<Vec<_>>(), [at(2)], "moved, none made");
    moved("saga", 3, 1).await;
    let timers = store.timers(&slots, None, 10).await.unwrap();
    assert_eq!((timers[0].due_at, timers[0].set_at), (at(3), Some(at(1))));

    let refused = append().with(&order, 0, &["x"]).clearing(&order, "saga");
    assert!(store.append(refused).await.is_err());
    assert_eq!(store.timers(&slots, None, 10).await.unwrap().len(), 1, "a refused append clears nothing");
    store
        .append(append().with(&order, 2, &["c"]).setting(&order, "saga", at(5)).clearing(&order, "saga"))
        .await
        .unwrap();
    assert!(store.timers(&slots, None, 10).await.unwrap().is_empty(), "the last word counts");
    moved("saga", 4, 2).await;
    assert!(store.timers(&slots, None, 10).await.unwrap().is_empty(), "gone stays gone");
}

pub async fn many_timers_are_moved_at_once_and_those_that_are_gone_stay_gone(store: Arc<impl EventStore + 'static>) {
    let (kept, cleared, other) = (stream(), stream(), stream());
    for each in [&kept, &cleared, &other] {
        store.append(append().with(each, 0, &["a"]).setting(each, "saga", at(1))).await.unwrap();
    }
    store.append(append().with(&cleared, 1, &["b"]).clearing(&cleared, "saga")).await.unwrap();
    let to = |stream: &StreamId, due| TimerMove {
        stream: stream.clone(),
        name: "saga".into(),
        due_at: at(due),
        set_at: at(due - 1),
        upto: LAST,
    };
    store.move_timers(&[to(&kept, 7), to(&cleared, 8), to(&stream(), 9)]).await.unwrap();
    store.move_timers(&[]).await.unwrap();
    let timers = store.timers(&all_slots(), None, 10).await.unwrap();
    let due: Vec<_> = timers.into_iter().map(|timer| (timer.stream, timer.due_at, timer.set_at)).collect();
    assert_eq!(due, [(other, at(1), Some(at(0))), (kept, at(7), Some(at(6)))]);
}

pub async fn a_move_does_not_undo_what_an_append_has_set_since(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let slots = [slot_of(order.id)];
    let known = store.append(append().with(&order, 0, &["a", "b"]).setting(&order, "saga", at(1))).await.unwrap().last;
    let moved = async |due, upto| {
        let (stream, name) = (order.clone(), "saga".into());
        let to = TimerMove { stream, name, due_at: at(due), set_at: at(0), upto };
        store.move_timers(&[to]).await.unwrap();
        store.timers(&slots, None, 10).await.unwrap()[0].due_at
    };
    assert_eq!(moved(5, known).await, at(5));
    assert_eq!(moved(6, known).await, at(6), "a move is no append");
    store.append(append().with(&order, 2, &["c"])).await.unwrap();
    assert_eq!(moved(7, known).await, at(7), "an append that leaves the timer alone changes nothing");
    store.append(append().with(&order, 3, &["d"]).setting(&order, "saga", at(2))).await.unwrap();
    assert_eq!(moved(8, known).await, at(2));
}

pub async fn timers_come_by_slot_soonest_first_and_in_pages(store: Arc<impl EventStore + 'static>) {
    let mut expected = Vec::new();
    for (slot, due) in [(1, 30), (2, 10), (1, 20), (2, 20), (3, 5), (1, 40)] {
        let stream = stream_in(slot);
        let given = append().with(&stream, 0, &["a"]);
        // Two of one stream at one instant: no page may end between them.
        store.append(given.setting(&stream, "one", at(due)).setting(&stream, "two", at(due))).await.unwrap();
        if slot != 3 {
            expected.extend([(at(due), stream.id); 2]);
        }
    }
    expected.sort();
    for limit in [1, 2, 3, 100] {
        let mut seen = Vec::new();
        loop {
            let page = store.timers(&[Slot(1), Slot(2)], seen.last().copied(), limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit + 1);
            seen.extend(page.into_iter().map(|timer| (timer.due_at, timer.stream.id)));
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
    assert_eq!(store.timers(&all_slots(), None, 100).await.unwrap().len(), 12);
}

pub async fn a_lease_is_held_until_it_expires_or_is_released(store: Arc<impl EventStore + 'static>) {
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let some: Vec<Slot> = (0..10).map(Slot).collect();
    let held = store.take_leases(&some, one, Duration::from_millis(100)).await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.slot).collect::<Vec<_>>(), some);
    assert!(held.iter().all(|lease| lease.epoch == 1));
    let rest = store.take_leases(&all_slots(), two, LONG).await.unwrap();
    assert_eq!(rest.len(), 246, "what is held is left alone");
    let renewed = store.take_leases(&some, one, Duration::from_millis(100)).await.unwrap();
    assert!(renewed.len() == 10 && renewed.iter().all(|lease| lease.epoch == 1), "{renewed:?}");
    assert!(renewed[0].expires_at > held[0].expires_at);

    tokio::time::sleep(Duration::from_millis(150)).await;
    let taken = store.take_leases(&some[..5], two, LONG).await.unwrap();
    assert!(taken.len() == 5 && taken.iter().all(|lease| lease.epoch == 2), "{taken:?}");
    let again = store.take_leases(&some, one, LONG).await.unwrap();
    assert!(again.len() == 5 && again.iter().all(|lease| lease.epoch == 1), "late, but nobody came between: {again:?}");

    store.release_leases(&some[..2], two).await.unwrap();
    store.release_leases(&some[5..], two).await.unwrap();
    let some_of_them = store.take_leases(&all_slots(), one, LONG).await.unwrap();
    assert_eq!(some_of_them.len(), 7, "the two that were freed, and its own: nobody frees another's");
    store.depart(two).await.unwrap();
    let all = store.take_leases(&all_slots(), one, LONG).await.unwrap();
    assert_eq!(all.len(), 256);
    assert_eq!(all[0].epoch, 3);
}

pub async fn an_owner_is_there_until_it_departs_or_says_nothing_more(store: Arc<impl EventStore + 'static>) {
    let owner = |name: &str| SlotOwner { id: Uuid::now_v7(), name: name.into(), app_version: "test".into() };
    let (one, two, three) = (owner("one"), owner("two"), owner("three"));
    let ids = |owners: &[&SlotOwner]| owners.iter().map(|owner| owner.id).collect::<Vec<_>>();
    assert_eq!(store.attend(&one, LONG).await.unwrap().owners, ids(&[&one]));
    assert_eq!(store.attend(&two, Duration::from_millis(100)).await.unwrap().owners, ids(&[&one, &two]));
    assert_eq!(store.attend(&three, LONG).await.unwrap().owners, ids(&[&one, &two, &three]));
    assert_eq!(store.attend(&one, LONG).await.unwrap().owners, ids(&[&one, &two, &three]), "again is no news");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(store.attend(&one, LONG).await.unwrap().owners, ids(&[&one, &three]), "silent for too long");
    assert_eq!(store.attend(&two, LONG).await.unwrap().owners, ids(&[&one, &two, &three]), "and there again");
    store.take_leases(&[Slot(1), Slot(2)], three.id, LONG).await.unwrap();
    store.depart(three.id).await.unwrap();
    assert_eq!(store.attend(&one, LONG).await.unwrap().owners, ids(&[&one, &two]));
    assert_eq!(store.take_leases(&[Slot(1), Slot(2)], one.id, LONG).await.unwrap().len(), 2, "its slots are free");
}

pub async fn the_epoch_rises_with_the_owner_and_fences_the_one_before(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let slot = slot_of(order.id);
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let first = store.take_leases(&[slot], one, Duration::ZERO).await.unwrap()[0];
    let fence = Fence { slot, epoch: first.epoch };
    store.append(append().with(&order, 0, &["a"]).fenced(fence)).await.unwrap();

    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = store.take_leases(&[slot], two, LONG).await.unwrap()[0];
    assert_eq!(second.epoch, first.epoch + 1);
    match store.append(append().with(&order, 0, &["b"]).fenced(fence)).await {
        Err(AppendError::Fenced { slot: fenced }) => assert_eq!(fenced, slot.0),
        other => panic!("told before the conflict: {other:?}"),
    }
    let fence = Fence { slot, epoch: second.epoch };
    store.append(append().with(&order, 1, &["b"]).fenced(fence)).await.unwrap();
    store.release_leases(&[slot], two).await.unwrap();
    let released = store.append(append().with(&order, 2, &["c"]).fenced(fence)).await;
    assert!(matches!(released, Err(AppendError::Fenced { .. })), "{released:?}");
    assert_eq!(everything(&*store).await.len(), 2);
}

pub async fn sealed_data_is_kept_by_subject(store: Arc<impl EventStore + 'static>) {
    let (subject, person) = (Uuid::now_v7(), Uuid::now_v7());
    let entry = |sealed: &[u8]| VaultEntry { subject, person, sealed: sealed.to_vec() };
    assert_eq!(store.sealed(subject).await.unwrap(), None);
    store.append(append().with(&stream(), 0, &["a"]).sealing(entry(b"one"))).await.unwrap();
    store.append(append().sealing(entry(b"two")).sealing(entry(b"three"))).await.unwrap();
    assert_eq!(store.sealed(subject).await.unwrap(), Some((person, b"three".to_vec())));
}
