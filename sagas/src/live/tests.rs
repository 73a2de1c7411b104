//! No saga twice, no wake-up lost.
use super::Live;
use crate::job::{Cause, Job, Leave, Seed};
use crate::slots::Slots;
use commands::History;
use domain::OrderId;
use eventstore::{Lease, Position, SLOTS, Slot};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

fn live(max_active: usize) -> Live {
    let (slots, now) = (Arc::new(Slots::new()), Instant::now());
    let lease = |slot| Lease { slot: Slot(slot), epoch: 1, expires_at: chrono::DateTime::UNIX_EPOCH };
    let leases: Vec<Lease> = (0..=u8::MAX).map(lease).collect();
    assert_eq!(slots.granted(&leases, now + Duration::from_secs(3600)).new.len(), SLOTS);
    Live::new(slots, max_active, 1)
}

fn placed(live: &Live, order: u128, position: i64) -> Option<Job> {
    let mut history = History::new(OrderId(Uuid::from_u128(order)), "dev");
    history.position = Position(position);
    live.placed(Seed { history, cause: Cause::default(), fence: None })
}

const LATER: Leave = Leave::Idle;

#[tokio::test(start_paused = true)]
async fn what_happens_while_a_driver_is_about_to_leave_is_not_lost() {
    let live = live(8);
    let job = placed(&live, 1, 10).unwrap();
    assert!(live.changed(job.order, Position(20)).is_none(), "its driver hears of it");
    assert!(!live.leave(&job, LATER, Position(19)), "there is more than the driver knows");
    assert!(live.leave(&job, LATER, Position(20)));
    assert!(live.changed(job.order, Position(20)).is_none(), "known already");
    assert!(live.changed(job.order, Position(21)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_driven_once_however_often_it_is_heard_of() {
    let live = live(8);
    let job = placed(&live, 1, 10).unwrap();
    assert!(placed(&live, 1, 10).is_none());
    assert!(live.found(job.order, None).is_none());
    assert!(live.leave(&job, Leave::Ended, Position(15)));
    assert!(placed(&live, 1, 10).is_none(), "the feed comes late");
    live.passed(Position(15));
    assert!(placed(&live, 1, 10).is_none(), "the nudge comes later still");
    assert_eq!(live.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_began_with_its_placement_is_left_to_who_placed_it_and_taken_up_where_they_did_not() {
    let (live, due) = (live(8), Instant::now() + Duration::from_millis(250));
    let [handed, cancelled, forgotten] = [1, 2, 3].map(Uuid::from_u128);
    for order in [handed, cancelled, forgotten] {
        live.begun(order, Position(10), due);
    }
    live.passed(Position(10));
    assert_eq!(live.active(), 0);

    let job = placed(&live, 1, 10).unwrap();
    assert!(job.seed.is_some(), "the history that was handed over");
    live.begun(handed, Position(10), due);
    assert!(live.changed(cancelled, Position(11)).is_some(), "nobody waits with that");
    let (jobs, next) = live.due(due, 10);
    assert_eq!((jobs.iter().map(|job| job.order).collect::<Vec<_>>(), next), (vec![forgotten], None));
    assert!(jobs[0].seed.is_none(), "it is read");
    assert!(placed(&live, 3, 10).is_none(), "handed over at last");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_sagas_queue_in_order_and_only_some_keep_their_history() {
    let live = live(1);
    let first = placed(&live, 1, 1).unwrap();
    assert!((2..5).all(|n| placed(&live, n, i64::try_from(n).unwrap()).is_none()));
    assert!(live.leave(&first, LATER, Position(1)));
    let next = live.next_job().unwrap();
    assert!(next.order == Uuid::from_u128(2) && next.seed.is_some());
    assert!(live.next_job().is_none());
    assert!(live.leave(&next, LATER, Position(2)));
    let next = live.next_job().unwrap();
    assert!(next.order == Uuid::from_u128(3) && next.seed.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_taken_up_once_and_an_event_is_faster() {
    let (live, now) = (live(8), Instant::now());
    let due = now + Duration::from_secs(10);
    assert!(live.found(Uuid::from_u128(1), Some(due)).is_none());
    assert!(live.found(Uuid::from_u128(2), Some(due)).is_none());
    let (jobs, next) = live.due(now, 10);
    assert!(jobs.is_empty() && next == Some(due));
    assert!(live.changed(Uuid::from_u128(1), Position(1)).is_some());
    let (jobs, next) = live.due(due, 10);
    assert_eq!((jobs.len(), next), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_slot_was_lost_and_is_ours_again_is_taken_up_again() {
    let live = live(8);
    let job = placed(&live, 1, 10).unwrap();
    assert!(live.leave(&job, Leave::Lost, Position(10)));
    assert_eq!(live.next_job().unwrap().order, job.order);
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_nothing_is_taken_up() {
    let live = live(1);
    let job = placed(&live, 1, 1).unwrap();
    assert!(placed(&live, 2, 2).is_none());
    live.stop();
    assert!(live.changed(job.order, Position(9)).is_none());
    assert!(live.leave(&job, LATER, Position(1)));
    assert!(live.next_job().is_none() && placed(&live, 3, 3).is_none());
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_are_taken_up_by_others_again_and_again_and_the_schedule_stays_short() {
    let (live, now) = (live(8), Instant::now());
    let tomorrow = now + Duration::from_secs(24 * 3600);
    for n in 1..20_000 {
        let job = live.changed(Uuid::from_u128(1 + n % 5), Position(i64::try_from(n).unwrap())).unwrap();
        assert!(job.due.is_none());
        let due = tomorrow + Duration::from_millis(u64::try_from(n).unwrap());
        assert!(live.leave(&job, Leave::Until { due, parked: None }, Position(i64::try_from(n).unwrap())));
    }
    assert_eq!(live.waiting(), 5);
    assert!(live.scheduled() < 5_000, "{}", live.scheduled());
    let (jobs, next) = live.due(tomorrow + Duration::from_secs(60), 10_000);
    assert_eq!((jobs.len(), next), (5, None));
    assert!(jobs.iter().all(|job| job.due.is_some_and(|due| due > tomorrow)));
}
