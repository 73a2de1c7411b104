//! A replica's copy of a log: what there is of it is checked, what there isn't is left out.
use super::*;
use crate::cli::verify::store::NOT_ON_A_REPLICA;
use eventstore::{Position, sql::replica::Replica};

const MANY: usize = 10_000;

impl Given {
    /// A replica of this log, in a database of its own.
    async fn replica(&self) -> Given {
        let database = TestPostgres::shared().await.database().await;
        let pool = database.pool().await;
        let mut replica = Replica::open(&pool, Log::MAIN, "waybill").await.unwrap();
        let events = self.store.read_log(Position::ZERO, MANY).await.unwrap();
        let head = replica.apply(&events, &self.store.lives().await.unwrap()).await.unwrap();
        assert!(head > Position(15), "{head}");
        let store = PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await.unwrap();
        Given { database, store: Arc::new(store) }
    }
}

#[tokio::test]
async fn a_replica_is_found_clean_by_what_it_has_and_what_it_lacks_is_left_out() {
    let given = Given::a_run().await;
    let replica = given.replica().await;
    let examined = replica.examined().await;
    assert_eq!(faults(&examined), Vec::<String>::new());
    assert!(super::super::conclude(&examined.checks));
    let looked_at = |name| examined.checks.iter().find(|check| check.name == name).unwrap().looked_at;
    for name in ["positions", "times", "incarnations", "checksums", "payloads"] {
        assert_eq!(looked_at(name), Some(examined.head.0 as u64), "{name}");
    }
    assert_eq!(looked_at("orders"), Some(3));
    for name in NOT_ON_A_REPLICA {
        assert_eq!(looked_at(name), None, "{name}");
    }
}

#[tokio::test]
async fn what_is_planted_in_a_replica_is_found_there() {
    let planted = [
        ("DELETE FROM events WHERE position = 5", "positions: position 5 is missing"),
        (
            "UPDATE events SET payload = replace(payload::text, '980', '981')::json WHERE position = 2",
            "checksums: the event at position 2 is not what was appended",
        ),
        ("UPDATE events SET version = version + 7 WHERE position = 2", "versions: position 2 is version 8"),
    ];
    let given = Given::a_run().await;
    for (statement, expected) in planted {
        let replica = given.replica().await;
        assert_eq!(replica.plant(statement).await, 1, "{statement}");
        let examined = replica.examined().await;
        let found = faults(&examined);
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{statement}: {found:#?}");
        assert!(!super::super::conclude(&examined.checks), "{statement}");
        replica.store.pool().close().await;
    }
}
