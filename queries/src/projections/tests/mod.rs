//! The projections on a real PostgreSQL, fed from a store in memory.
mod audit;
mod evolved;
mod frozen;
mod missing;
mod moving;
mod parked;
mod past;
mod raised;
mod released;
mod returned;
mod rows;
mod running;
mod several;
mod taught;
mod waits;
mod watching;

use crate::{
    given::{Given, out_of_stock, placed},
    projections::verify_projections,
};
use domain::OrderId;

/// Orders of all fates, some still under way.
pub(super) async fn busy(given: &Given, orders: usize) -> Vec<OrderId> {
    let mut ids = vec![];
    for n in 0..orders {
        let order_ref = format!("r-{n}-{}", given.head().await);
        let order = given.place("dev", placed(&order_ref, &[("a", 1 + n as i64 % 3), ("b", 1)])).await;
        match n % 4 {
            0 => given.reply(order, out_of_stock("a")).await,
            n => given.goes_well(order, 2 * n).await,
        }
        ids.push(order);
    }
    ids
}

pub(super) async fn assert_equal_to_a_replay(given: &Given) {
    let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    assert_eq!(compared.differences, vec![]);
    assert_eq!(compared.position, given.head().await);
    assert!(compared.rows > 0);
}
