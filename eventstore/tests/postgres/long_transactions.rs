//! Ten minutes for real: transactions that stay open here and in another database, while others append and a reader follows.
use super::order::with_old_transactions;
use super::support::{Watcher, count_events, store, store_on};
use eventstore::contract::given::{append, stream};
use eventstore::contract::race::all_at_once;
use eventstore::{EventFeed, EventStore, Position, StoreFeed};
use std::time::{Duration, Instant};

const MINUTES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes: scripts/slow-tests"]
async fn slow_transactions_left_open_for_ten_minutes_hold_up_no_reader_and_slow_nobody_down() {
    let (store, database) = store().await;
    let reader = store_on(&database).await;
    store.append(append().with(&stream(), 0, &["before"])).await.unwrap();
    let mut watcher = Watcher::default();
    let run = async {
        let end = Instant::now() + MINUTES * MINUTE;
        let appends = (0..16).map(|_| {
            let store = store.clone();
            async move {
                let mut written = 0_i64;
                while Instant::now() < end {
                    let given = append().with(&stream(), 0, &["a", "b", "c", "d"]).changing("stock", 1, None);
                    store.append(given).await.unwrap();
                    written += 4;
                }
                written
            }
        });
        let appending = tokio::spawn(all_at_once(appends.collect::<Vec<_>>()));
        let mut feed = StoreFeed::new(reader, Position::ZERO);
        let mut a_minute = Vec::new();
        for minute in 1..=MINUTES {
            let before = watcher.seen;
            let until = end - (MINUTES - minute) * MINUTE;
            while Instant::now() < until {
                watcher
                    .see(tokio::time::timeout(SOON, feed.next(1_000)).await.expect("the feed stands still").unwrap());
            }
            a_minute.push(watcher.seen - before);
            println!("minute {minute}: {} events", watcher.seen - before);
        }
        let written = 1 + appending.await.unwrap().into_iter().sum::<i64>();
        while watcher.seen < written {
            watcher.see(tokio::time::timeout(SOON, feed.next(1_000)).await.expect("events are missing").unwrap());
        }
        // Generous: a machine has other things to do. A counter row lost two thirds in the first minute.
        assert!(a_minute[9] * 3 > a_minute[0], "slower and slower: {a_minute:?}");
    };
    with_old_transactions(&database, run).await;
    assert_eq!(count_events(&database.pool().await).await, watcher.seen);
}
