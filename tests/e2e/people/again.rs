//! A store restored from an older backup: who was erased is erased again.
use chrono::Utc;
use commands::people::{ERASURE_TIMER, PersonHistory};
use eventstore::{
    EventStore, Log, PgEventStore, Slot, Vault,
    contract::given::{append, stream},
    sql,
    testing::TestPostgres,
};
use std::sync::Arc;
use uuid::Uuid;
use waybill::erasures::{Line, Reapplied, reapply};

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_is_erased_again_after_an_older_backup_was_restored() {
    let database = TestPostgres::shared().await.database().await;
    let store = PgEventStore::connect(database.pool().await, Log::MAIN, sql::Options::default()).await.unwrap();
    let store = Arc::new(store);
    let vault = Vault::new(&[1; 32], store.clone(), store.clone());
    let person = vault.person("dev", "hh-1").await.unwrap();
    let order = stream();
    let entry = vault.seal(&person, order.id, b"Ada").unwrap();
    store.append(append().with(&order, 0, &["A"]).sealing(entry)).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("erasures.jsonl");
    assert_eq!(reapply(store.clone(), &file).await.unwrap(), Reapplied::default(), "no file, nobody erased");
    let line = |person| Line { person, shop: "dev".to_owned(), reference: "hh-1".to_owned(), at: Utc::now() };
    let lines = [person.id, Uuid::now_v7()].map(|person| serde_json::to_string(&line(person)).unwrap());
    std::fs::write(&file, lines.join("\n") + "\n{\"torn").unwrap();
    let done = Reapplied { destroyed: 1, already: 0, absent: 1, unreadable: 1 };
    assert_eq!(reapply(store.clone(), &file).await.unwrap(), done);

    let after = Vault::new(&[1; 32], store.clone(), store.clone());
    assert_eq!(after.open(order.id).await.unwrap(), None);
    let history = PersonHistory::load(&*store, person.id).await.unwrap();
    assert!(history.state.requested.is_some() && !history.state.erased, "the rest is for the next `up` to do");
    let slots: Vec<Slot> = (0..=255).map(Slot).collect();
    let timers = store.timers(&slots, None, 10).await.unwrap();
    assert!(timers.iter().any(|timer| timer.name == ERASURE_TIMER && timer.stream.id == person.id));

    assert_eq!(reapply(store.clone(), &file).await.unwrap(), Reapplied { destroyed: 0, already: 1, ..done });
    assert_eq!(store.read_streams(person.id).await.unwrap().len(), 1, "asked for once");
    assert_ne!(after.person("dev", "hh-1").await.unwrap().id, person.id, "who comes back is someone new");
}
