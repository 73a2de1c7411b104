//! The queue's bounds: in number, in bytes, in time.
use super::{append, bench, id};
use crate::append::MAX_PAYLOAD_BYTES;
use crate::group_commit::Limits;
use crate::{Append, AppendError, Position};
use serde_json::value::RawValue;
use std::time::Duration;

/// An append of about so many bytes.
fn sized(event_type: &'static str, bytes: usize) -> Append {
    let mut given = append(id(), event_type);
    given.streams[0].events[0].payload = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).unwrap().into();
    given
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_bytes_too() {
    let limits = Limits { queue_bytes: 100 << 10, queue_wait: Duration::from_secs(5), ..Limits::default() };
    let bench = bench(limits, 0, 0);
    let mut pending = Vec::new();
    for _ in 0..6 {
        pending.push(bench.give(sized("a", 30 << 10)).await);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let turned_away: Vec<_> = pending.iter().map(|each| each.is_finished()).collect();
    assert_eq!(turned_away, [false, false, false, true, true, true], "three times 30 KiB fit into 100");
    bench.gate.add_permits(100);
    for (each, n) in pending.into_iter().zip(1..) {
        match each.await.unwrap() {
            Ok(appended) if n <= 3 => assert_eq!(appended.last, Position(n)),
            Err(AppendError::Unavailable(why)) if n > 3 => assert!(why.contains("too many appends wait"), "{why}"),
            other => panic!("{n}: {other:?}"),
        }
    }
    assert!(bench.give(sized("a", 90 << 10)).await.await.unwrap().is_ok(), "all room is free again");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_larger_than_all_the_room_goes_alone() {
    let bench = bench(Limits { queue_bytes: 10 << 10, ..Limits::default() }, 0, 0);
    let large = bench.give(sized("large", MAX_PAYLOAD_BYTES - 2)).await;
    let small = bench.give(sized("small", 1)).await;
    bench.gate.add_permits(100);
    assert_eq!(large.await.unwrap().unwrap().last, Position(1));
    assert_eq!(small.await.unwrap().unwrap().last, Position(2));
    assert_eq!(bench.batches(), [["large"], ["small"]], "it waited until there was room");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_its_turn_is_told_so_and_is_never_written() {
    let limits = Limits { max_members: 1, patience: Duration::from_secs(10), ..Limits::default() };
    let bench = bench(limits, 0, 0);
    let under_way = bench.hand_in(id(), "under way").await;
    let waiting = [bench.hand_in(id(), "waits").await, bench.hand_in(id(), "waits").await];
    tokio::time::sleep(Duration::from_secs(11)).await;
    for each in waiting {
        match each.await.unwrap() {
            Err(AppendError::Unavailable(why)) => assert!(why.contains("nothing was written"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!under_way.is_finished(), "its turn had come: it may be written");
    tokio::time::sleep(limits.patience).await;
    let outcome = under_way.await.unwrap();
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");

    bench.gate.add_permits(100);
    assert_eq!(bench.hand_in(id(), "next").await.await.unwrap().unwrap().last, Position(2));
    assert_eq!(bench.batches(), [["under way"], ["next"]], "what was withdrawn was never sent");
}

/// Whatever goes wrong, there is an answer in time.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_longer_than_the_longest_answer() {
    let limits = Limits { queue: 4, max_members: 2, ..Limits::default() };
    let bench = bench(limits, 0, 0);
    let since = tokio::time::Instant::now();
    let mut pending = Vec::new();
    for _ in 0..20 {
        pending.push(bench.hand_in(id(), "a").await);
    }
    for each in pending {
        let outcome = each.await.unwrap();
        assert!(matches!(outcome, Err(AppendError::Unavailable(_) | AppendError::Unknown(_))), "{outcome:?}");
    }
    assert!(since.elapsed() <= limits.longest_answer() + Duration::from_secs(1), "{:?}", since.elapsed());
}
