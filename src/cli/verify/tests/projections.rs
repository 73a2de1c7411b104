//! Rows that another release has made are not compared with what this one would make.
use super::{
    super::{Parts, projection_check},
    Given,
};
use eventstore::Position;
use queries::projections::VERSION;

async fn looked_at(given: &Given, version: i32) -> anyhow::Result<Option<u64>> {
    let sql = "INSERT INTO read.projections (name, version, log, incarnation, position) VALUES ('read', $1, 0, 1, 0)
        ON CONFLICT (name) DO UPDATE SET version = $1";
    sqlx::query(sql).bind(version).execute(given.store.pool()).await.unwrap();
    let database = (*given.store.pool().connect_options()).clone();
    let parts = Parts { store: given.store.clone(), database, kafka: None, ledgers: vec![] };
    Ok(projection_check(&parts, Position::ZERO).await?.looked_at)
}

#[tokio::test]
async fn rows_of_an_earlier_release_are_left_out_and_those_of_a_later_one_are_not_called_right() {
    let given = Given::a_run().await;
    assert_eq!(looked_at(&given, VERSION - 1).await.unwrap(), None);
    assert_eq!(looked_at(&given, VERSION).await.unwrap(), Some(0));
    assert!(looked_at(&given, VERSION + 1).await.is_err());
}
