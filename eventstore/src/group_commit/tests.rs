//! Group commit against a writer of the test: who is in a batch, who waits, and what a fault does to the others.
mod bounds;

use super::{GroupCommit, Limits, WriteError, Writer, Written};
use crate::prepared::Prepared;
use crate::recent::Recent;
use crate::{
    Actor, ActorKind, Append, AppendError, Appended, CheckpointWrite, Expected, Incarnation, Log, Metadata, NewEvent,
    Position, Source, StreamAppend, StreamId, Version,
};
use async_trait::async_trait;
use chrono::DateTime;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// What the database would do, by the type of a member's first event: "bad" is a fault, "lost" loses the connection after writing, "torn"
/// before. Each only `times` times.
struct Scripted {
    log: Arc<Mutex<Vec<Vec<String>>>>,
    gate: Arc<Semaphore>,
    losses: u32,
    written: Vec<(Uuid, Appended)>,
    recall_fails: u32,
}

fn first_type(prepared: &Prepared) -> String {
    let event = prepared.append.streams.iter().find_map(|part| part.events.first());
    event.map(|event| event.event_type.to_string()).unwrap_or_default()
}

#[async_trait]
impl Writer for Scripted {
    async fn write(&mut self, batch: &[&Prepared]) -> Result<Written, WriteError> {
        self.gate.acquire().await.unwrap().forget();
        let types: Vec<String> = batch.iter().map(|prepared| first_type(prepared)).collect();
        self.log.lock().unwrap().push(types.clone());
        if types.iter().any(|event_type| event_type == "bad") {
            return Err(WriteError::Fault("bad".into()));
        }
        if types.iter().any(|event_type| event_type == "torn") && self.losses > 0 {
            self.losses -= 1;
            return Err(WriteError::Lost("torn".into()));
        }
        let mut outcomes = Vec::new();
        for prepared in batch {
            let position = Position(self.written.len() as i64 + 1);
            let recorded_at = DateTime::UNIX_EPOCH;
            let appended = Appended { first: position, last: position, recorded_at };
            self.written.push((prepared.append.metadata.command_id, appended));
            outcomes.push(Ok(appended));
        }
        if types.iter().any(|event_type| event_type == "lost") && self.losses > 0 {
            self.losses -= 1;
            return Err(WriteError::Lost("lost".into()));
        }
        Ok(Written { incarnation: Incarnation(1), outcomes })
    }

    async fn recall(&mut self, batch: &[&Prepared]) -> Result<Vec<Option<Appended>>, WriteError> {
        if self.recall_fails > 0 {
            self.recall_fails -= 1;
            return Err(WriteError::Lost("still away".into()));
        }
        let find = |id: Uuid| self.written.iter().find(|(command, _)| *command == id).map(|(_, appended)| *appended);
        Ok(batch.iter().map(|prepared| find(prepared.append.metadata.command_id)).collect())
    }
}

struct Bench {
    commit: Arc<GroupCommit>,
    log: Arc<Mutex<Vec<Vec<String>>>>,
    gate: Arc<Semaphore>,
    head: watch::Receiver<Position>,
    recent: Arc<Recent>,
}

fn bench(limits: Limits, losses: u32, recall_fails: u32) -> Bench {
    let (log, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let writer = Scripted { log: Arc::clone(&log), gate: gate.clone(), losses, written: Vec::new(), recall_fails };
    let (sender, head) = watch::channel(Position::ZERO);
    let recent = Arc::new(Recent::new(Log::MAIN));
    Bench { commit: Arc::new(GroupCommit::start(writer, limits, sender, recent.clone())), log, gate, head, recent }
}

type Pending = tokio::task::JoinHandle<Result<Appended, AppendError>>;

impl Bench {
    /// Hands an append in; it is in the queue when this returns.
    async fn hand_in(&self, stream: Uuid, event_type: &'static str) -> Pending {
        self.give(append(stream, event_type)).await
    }

    async fn give(&self, append: Append) -> Pending {
        let (commit, prepared) = (self.commit.clone(), Arc::new(Prepared::new(append).unwrap()));
        let pending = tokio::spawn(async move { commit.append(prepared).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        pending
    }

    fn batches(&self) -> Vec<Vec<String>> {
        self.log.lock().unwrap().clone()
    }
}

fn append(stream: Uuid, event_type: &'static str) -> Append {
    let event = NewEvent {
        event_type: event_type.into(),
        schema_version: 1,
        payload: RawValue::from_string("{}".into()).unwrap().into(),
        rank: 0,
    };
    let metadata = Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: stream,
        actor: Actor { kind: ActorKind::Shop, id: "dev".into(), key: None, on_behalf_of: None },
        source: Source::Api,
        reason_code: None,
        occurred_at: DateTime::UNIX_EPOCH,
        trace_id: None,
        app_version: "test".into(),
    };
    let events = if event_type.is_empty() { Vec::new() } else { vec![event] };
    Append {
        streams: vec![StreamAppend {
            stream: StreamId::new(stream, "order"),
            expected: Expected::Exact(Version::NONE),
            events,
        }],
        ..Append::new("dev", metadata)
    }
}

fn id() -> Uuid {
    Uuid::now_v7()
}

#[tokio::test]
async fn what_waits_while_a_batch_is_under_way_is_the_next_batch() {
    let bench = bench(Limits::default(), 0, 0);
    let first = bench.hand_in(id(), "a").await;
    let later = [bench.hand_in(id(), "b").await, bench.hand_in(id(), "c").await, bench.hand_in(id(), "d").await];
    bench.gate.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap().last, Position(1));
    for (pending, position) in later.into_iter().zip(2..) {
        assert_eq!(pending.await.unwrap().unwrap().last, Position(position));
    }
    assert_eq!(bench.batches(), [vec!["a"], vec!["b", "c", "d"]]);
    assert_eq!(*bench.head.borrow(), Position(4));
}

#[tokio::test]
async fn those_just_answered_get_their_turn_but_not_where_many_have_waited_for_the_batch_before() {
    for (waited, next) in [(3, 19), (4, 4)] {
        let bench = bench(Limits::default(), 0, 0);
        let first = bench.hand_in(id(), "first").await;
        let twice: Vec<_> = (0..16)
            .map(|_| {
                let commit = bench.commit.clone();
                tokio::spawn(async move {
                    for event_type in ["once", "again"] {
                        let prepared = Arc::new(Prepared::new(append(id(), event_type)).unwrap());
                        commit.append(prepared).await.unwrap();
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        bench.gate.add_permits(1);
        first.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        for _ in 0..waited {
            bench.hand_in(id(), "waited").await;
        }
        bench.gate.add_permits(3);
        for appender in twice {
            appender.await.unwrap();
        }
        let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
        assert_eq!(sizes[..3], [1, 16, next], "{waited} waited");
    }
}

#[tokio::test]
async fn who_comes_second_on_a_stream_waits_and_is_not_overtaken() {
    let bench = bench(Limits::default(), 0, 0);
    let (busy, free) = (id(), id());
    let mut pending = vec![bench.hand_in(id(), "first").await];
    for (stream, event_type) in [(busy, "1"), (busy, "2"), (free, "x"), (busy, "3")] {
        pending.push(bench.hand_in(stream, event_type).await);
    }
    bench.gate.add_permits(10);
    for each in pending {
        each.await.unwrap().unwrap();
    }
    assert_eq!(bench.batches(), [vec!["first"], vec!["1", "x"], vec!["2"], vec!["3"]]);
}

#[tokio::test]
async fn who_comes_second_on_a_checkpoint_waits() {
    let bench = bench(Limits::default(), 0, 0);
    let mut pending = vec![bench.hand_in(id(), "first").await];
    for (event_type, reader) in [("1", "a"), ("2", "b"), ("3", "a")] {
        let to = (Incarnation(1), Position(1));
        let checkpoint = Some(CheckpointWrite { name: reader.into(), from: None, to });
        pending.push(bench.give(Append { checkpoint, ..append(id(), event_type) }).await);
    }
    bench.gate.add_permits(10);
    for each in pending {
        each.await.unwrap().unwrap();
    }
    assert_eq!(bench.batches(), [vec!["first"], vec!["1", "2"], vec!["3"]]);
}

#[tokio::test]
async fn a_batch_keeps_to_its_bounds() {
    let bench = bench(Limits { max_members: 2, ..Limits::default() }, 0, 0);
    let mut pending = vec![bench.hand_in(id(), "first").await];
    for event_type in ["1", "2", "3", "4", "5"] {
        pending.push(bench.hand_in(id(), event_type).await);
    }
    bench.gate.add_permits(10);
    for each in pending {
        each.await.unwrap().unwrap();
    }
    assert_eq!(bench.batches(), [vec!["first"], vec!["1", "2"], vec!["3", "4"], vec!["5"]]);
}

#[tokio::test]
async fn one_members_fault_fails_that_member_alone() {
    let bench = bench(Limits::default(), 0, 0);
    let mut pending = vec![bench.hand_in(id(), "first").await];
    for event_type in ["1", "2", "3", "bad", "5", "6"] {
        pending.push(bench.hand_in(id(), event_type).await);
    }
    bench.gate.add_permits(100);
    for (each, n) in pending.into_iter().zip(0..) {
        match each.await.unwrap() {
            Err(AppendError::Invalid(why)) if n == 4 => assert_eq!(why, "bad"),
            Ok(appended) if n != 4 => assert_eq!(appended.last.0, if n < 4 { n + 1 } else { n }, "order is kept"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_that_was_written_is_recognised() {
    let bench = bench(Limits::default(), 1, 3);
    bench.gate.add_permits(10);
    let appended = bench.hand_in(id(), "lost").await.await.unwrap().unwrap();
    assert_eq!(appended.last, Position(1));
    assert_eq!(bench.batches().len(), 1, "not sent again");
    assert_eq!(*bench.head.borrow(), Position(1));
}

#[tokio::test(start_paused = true)]
async fn readers_beside_it_have_what_was_committed_and_nothing_of_before_a_loss() {
    let bench = bench(Limits::default(), 1, 0);
    let held = |after| bench.recent.after(Position(after), 10).len();
    bench.gate.add_permits(10);
    for event_type in ["a", "b"] {
        bench.hand_in(id(), event_type).await.await.unwrap().unwrap();
    }
    assert_eq!((held(0), held(1)), (2, 1));
    assert_eq!(bench.hand_in(id(), "lost").await.await.unwrap().unwrap().last, Position(3));
    assert_eq!((held(0), held(2)), (0, 0));
    bench.hand_in(id(), "c").await.await.unwrap().unwrap();
    assert_eq!((held(2), held(3)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_that_was_not_written_is_sent_again_a_few_times() {
    let once = bench(Limits::default(), 1, 0);
    once.gate.add_permits(10);
    assert_eq!(once.hand_in(id(), "torn").await.await.unwrap().unwrap().last, Position(1));
    assert_eq!(once.batches().len(), 2);

    let always = bench(Limits::default(), u32::MAX, 0);
    always.gate.add_permits(10);
    let outcome = always.hand_in(id(), "torn").await.await.unwrap();
    assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "{outcome:?}");
    assert_eq!(always.batches().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_found_out_is_called_unknown() {
    let bench = bench(Limits::default(), 1, u32::MAX);
    bench.gate.add_permits(10);
    let outcome = bench.hand_in(id(), "lost").await.await.unwrap();
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    assert_eq!(bench.hand_in(id(), "next").await.await.unwrap().unwrap().last, Position(2), "it goes on");
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_queue_full_is_turned_away_in_time() {
    let limits = Limits { queue: 2, max_members: 1, queue_wait: Duration::from_secs(5), ..Limits::default() };
    let bench = bench(limits, 0, 0);
    let mut pending = Vec::new();
    for _ in 0..10 {
        pending.push(bench.hand_in(id(), "a").await);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let turned_away = pending.iter().filter(|each| each.is_finished()).count();
    assert!((5..10).contains(&turned_away), "{turned_away}");
    bench.gate.add_permits(100);
    let mut written = 0;
    for each in pending {
        match each.await.unwrap() {
            Ok(_) => written += 1,
            Err(AppendError::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, 10 - turned_away);
}

#[tokio::test(start_paused = true)]
async fn those_who_only_read_a_stream_share_a_batch_and_who_changes_it_waits() {
    let bench = bench(Limits::default(), 0, 0);
    let person = StreamId::new(Uuid::now_v7(), "person");
    let reading = |event_type| {
        let mut append = append(Uuid::now_v7(), event_type);
        append.streams.push(StreamAppend { stream: person.clone(), expected: Expected::NO_STREAM, events: vec![] });
        append
    };
    let busy = bench.hand_in(Uuid::now_v7(), "busy").await;
    let mut changing = append(Uuid::now_v7(), "changing");
    changing.streams[0].stream = person.clone();
    let mut pending = vec![busy];
    for append in [reading("first"), reading("second"), changing, reading("third")] {
        pending.push(bench.give(append).await);
    }
    bench.gate.add_permits(10);
    for pending in pending {
        pending.await.unwrap().unwrap();
    }
    let types = |types: &[&str]| types.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        bench.batches(),
        [types(&["busy"]), types(&["first", "second"]), types(&["changing"]), types(&["third"])]
    );
}
