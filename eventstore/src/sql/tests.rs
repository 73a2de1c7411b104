//! `append_batch` against the plain rules.
use super::{Options, PgEventStore, migrate, slots, write::PgWriter};
use crate::contract::given::{append, everything, stream};
use crate::contract::race::Dice;
use crate::group_commit::Writer;
use crate::prepared::Prepared;
use crate::testing::TestPostgres;
use crate::{Append, AppendError, Appended, EventStore, Fence, Log, MemoryEventStore, Position, Slot, StreamId};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The database tells of an append, too, and often sooner than it answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_woken_by_an_append_of_this_process_finds_it_in_memory() {
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    migrate(&pool).await.unwrap();
    let store = Arc::new(PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap());
    let mut head = store.watch_head();
    let appends = {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..1_000 {
                store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
            }
        })
    };
    let (mut seen, mut missed) = (0, 0);
    while seen < 2_000 {
        seen = head.wait_for(|head| head.0 > seen).await.unwrap().0;
        missed += u32::from(store.recent(Position(seen - 1), 1).is_empty());
    }
    appends.await.unwrap();
    // A batch that takes longer than anybody waits may be among them.
    assert!(missed <= 10, "{missed} of 1,000");
}

/// Members of one batch get, one by one, what they would get one after the other; whichever of two processes writes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_of_a_batch_gets_the_answer_it_would_get_alone() {
    let (mut taken, mut refused) = (0, [0; 5]);
    for seed in 0..12 {
        let database = TestPostgres::shared().await.database().await;
        let pool = database.pool().await;
        migrate(&pool).await.unwrap();
        slots::begin_log(&pool, Log::MAIN).await.unwrap();
        let mut writers = [(); 2].map(|()| PgWriter::new(&pool, Log::MAIN, Arc::default()));
        let model = MemoryEventStore::default();
        let owner = Uuid::now_v7();
        let held = [Slot(1), Slot(2)];
        model.take_leases(&held, owner, Duration::from_secs(60)).await.unwrap();
        slots::take_leases(&pool, Log::MAIN, &held, owner, Duration::from_secs(60)).await.unwrap();

        let mut dice = Dice::new(seed);
        let streams: Vec<StreamId> = (0..30).map(|_| stream()).collect();
        for round in 0..6 {
            let size = 1 + dice.roll(30) as usize;
            let appends: Vec<Append> = streams.iter().take(size).map(|own| random_append(&mut dice, own)).collect();
            let members: Vec<Prepared> = appends.iter().map(|a| Prepared::new(a.clone()).unwrap()).collect();
            let writer = &mut writers[dice.roll(2) as usize];
            let answers = writer.write(&members.iter().collect::<Vec<_>>()).await.unwrap().outcomes;
            assert_eq!(answers.len(), appends.len());
            for ((given, answer), n) in appends.into_iter().zip(answers).zip(0..) {
                match &answer {
                    Ok(_) => taken += 1,
                    Err(AppendError::Conflict { .. }) => refused[0] += 1,
                    Err(AppendError::Refused(crate::Refusal::ClaimTaken(_))) => refused[1] += 1,
                    Err(AppendError::Refused(_)) => refused[2] += 1,
                    Err(AppendError::CheckpointMoved { .. }) => refused[3] += 1,
                    Err(_) => refused[4] += 1,
                }
                let alone = model.append(given.clone()).await;
                assert_eq!(shown(&answer), shown(&alone), "seed {seed}, round {round}, member {n}: {given:?}");
            }
        }
        let store = PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap();
        assert_eq!(store.list_balances("", "", 99).await.unwrap(), model.list_balances("", "", 99).await.unwrap());
        let all: Vec<Slot> = (0..=u8::MAX).map(Slot).collect();
        assert_eq!(store.timers(&all, None, 99).await.unwrap(), model.timers(&all, None, 99).await.unwrap());
        for name in streams.iter().map(reader) {
            assert_eq!(store.checkpoint(&name).await.unwrap(), model.checkpoint(&name).await.unwrap(), "seed {seed}");
        }
        let (events, expected) = (everything(&store).await, everything(&model).await);
        assert_eq!(events.len(), expected.len());
        for (event, expected) in events.iter().zip(&expected) {
            assert_eq!(
                (&event.stream, event.version, event.position),
                (&expected.stream, expected.version, expected.position)
            );
            assert_eq!((&event.metadata, &event.event_type), (&expected.metadata, &expected.event_type));
        }
    }
    assert!(taken > 100 && refused.iter().all(|count| *count > 10), "this shows nothing: {taken} {refused:?}");
}

/// Looks at the index of versions, as the database counts them. What a session has counted is told at its end.
async fn look_ups(pool: &PgPool, at_least: i64) -> sqlx::Result<i64> {
    let counted = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'events_stream_version'";
    let mut look_ups = 0;
    for _ in 0..100 {
        look_ups = sqlx::query_scalar::<_, i64>(counted).fetch_one(pool).await?;
        if look_ups >= at_least {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(look_ups)
}

#[tokio::test]
async fn versions_are_looked_up_only_where_others_have_appended_since() {
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    migrate(&pool).await.unwrap();
    slots::begin_log(&pool, Log::MAIN).await.unwrap();
    let [mut ours, mut theirs] = [(); 2].map(|()| PgWriter::new(&pool, Log::MAIN, Arc::default()));
    let streams: Vec<StreamId> = (0..20).map(|_| stream()).collect();
    // Each also depends on another stream that has no event.
    let write = async |writer: &mut PgWriter, streams: &[StreamId], version| {
        let append =
            |own: &StreamId| append().with(own, version, &["a", "b"]).with(&StreamId::new(own.id, "saga"), 0, &[]);
        let members: Vec<_> = streams.iter().map(|own| Prepared::new(append(own)).unwrap()).collect();
        writer.write(&members.iter().collect::<Vec<_>>()).await.unwrap().outcomes
    };
    let mut expected = 20;
    for version in [0, 2, 4] {
        assert!(write(&mut ours, &streams, version).await.iter().all(Result::is_ok));
    }
    // Others go on with two of them, and begin what was not there: all of that is looked up, and then all of ours.
    expected += 2 * 2;
    assert!(write(&mut theirs, &streams[..2], 6).await.iter().all(Result::is_ok));
    let saga = Prepared::new(append().with(&StreamId::new(streams[2].id, "saga"), 0, &["c"])).unwrap();
    theirs.write(&[&saga]).await.unwrap();
    expected += 2 * 4;
    let answers = write(&mut ours, &streams[..4], 6).await;
    let conflict = |answer: &Result<Appended, AppendError>| match answer {
        Err(AppendError::Conflict { stream, actual, .. }) => (stream.clone(), actual.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(&answers[0]), (streams[0].clone(), 8));
    assert_eq!(conflict(&answers[1]), (streams[1].clone(), 8));
    assert_eq!(conflict(&answers[2]), (StreamId::new(streams[2].id, "saga"), 1));
    assert!(answers[3].is_ok(), "the others of the batch are taken: {answers:?}");
    // What was appended at whatever version has one that only the store knows.
    let any = Prepared::new(append().with_any(&streams[3], &["d"])).unwrap();
    ours.write(&[&any]).await.unwrap().outcomes[0].as_ref().unwrap();
    expected += 1 + 1;
    assert_eq!(conflict(&write(&mut ours, &streams[3..4], 8).await[0]), (streams[3].clone(), 9));
    // No stream begins twice. What is not known is looked up, and all of it when the batch is sent again.
    expected += 2 + 2 * 2;
    let answers = write(&mut ours, &[streams[4].clone(), stream()], 0).await;
    assert_eq!(conflict(&answers[0]), (streams[4].clone(), 6));
    assert!(answers[1].is_ok(), "{answers:?}");
    drop((ours, theirs));
    assert_eq!(look_ups(&pool, expected).await.unwrap(), expected);
}

/// All but the time.
fn shown(answer: &Result<Appended, AppendError>) -> String {
    match answer {
        Ok(appended) => format!("{} to {}", appended.first, appended.last),
        Err(error) => format!("{error:?}"),
    }
}

/// No two members of a batch have the same.
fn reader(own: &StreamId) -> String {
    format!("reader of {own}")
}

fn random_append(dice: &mut Dice, own: &StreamId) -> Append {
    let other = StreamId::new(own.id, "saga");
    let types = &["a", "b", "c"][..dice.roll(4) as usize];
    let mut given = match dice.roll(3) {
        0 => append().with_any(own, types),
        1 => append().with(own, 0, types),
        _ => append().with(own, dice.roll(4) as i32, types),
    };
    if dice.roll(3) == 0 {
        given = given.with_any(&other, &["d"]);
        given.streams[0].events.iter_mut().for_each(|event| event.rank = dice.roll(3) as u16);
    }
    for _ in 0..dice.roll(4) {
        let floor = (dice.roll(3) > 0).then(|| dice.roll(3) as i64 - 1);
        given = given.changing(&format!("account-{}", dice.roll(4)), dice.roll(12) as i64 - 5, floor);
    }
    for n in 0..dice.roll(3) {
        given = given.claiming(&format!("key-{}", 2 * dice.roll(40) + n), &format!("holder-{}", dice.roll(1_000)));
    }
    given = match dice.roll(4) {
        0 => given.setting(own, "saga", crate::contract::given::at(dice.roll(100) as i64)),
        1 => given.clearing(own, "saga"),
        _ => given,
    };
    if dice.roll(3) == 0 {
        let from = dice.roll(3) as i64;
        given = given.moving(&reader(own), (from > 0).then_some(from), from + 1);
    }
    match dice.roll(6) {
        // Slot 3 is nobody's.
        0 => given.fenced(Fence { slot: Slot(1 + dice.roll(3) as u8), epoch: 1 }),
        1 => given.fenced(Fence { slot: Slot(1), epoch: dice.roll(3) as i64 }),
        _ => given,
    }
}
