//! Random commands, on PostgreSQL and on the model in memory: every answer must be the same, and all that is kept after them.
//!
//! `WAYBILL_TEST_CASES` says how many sequences, `WAYBILL_TEST_SEED` which; a failure prints its seed and the smallest sequence that fails.
mod plan;
mod world;

use super::support::slow;
use eventstore::testing::TestPostgres;
use plan::{Op, Plan};
use proptest::prelude::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::fmt::Debug;
use std::sync::atomic::{AtomicI16, Ordering};
use tokio::runtime::{Builder, Runtime};
use world::World;

const CASES: u32 = 64;
const SLOW_CASES: u32 = 1_000;

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a property on one database, each case in a log of its own.
fn hold<S: Strategy<Value: Debug>>(
    strategy: S,
    check: impl AsyncFn(&mut World, S::Value) -> Result<(), TestCaseError>,
) {
    let seed = setting("WAYBILL_TEST_SEED").unwrap_or_else(rand::random);
    let cases = setting("WAYBILL_TEST_CASES").unwrap_or(if slow() { SLOW_CASES } else { CASES });
    println!("seed {seed}, {cases} sequences: repeat with WAYBILL_TEST_SEED={seed} WAYBILL_TEST_CASES={cases}");
    // On one thread: appends that are spawned in turn are handed in in turn.
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let pool = runtime.block_on(async { TestPostgres::shared().await.database().await.pool().await });
    let next = AtomicI16::new(1);
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&strategy, |given| {
        runtime.block_on(async {
            let mut world = World::new(pool.clone(), next.fetch_add(1, Ordering::Relaxed)).await;
            check(&mut world, given).await?;
            world.compare().await
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, smallest)) => panic!("seed {seed}: {why}\nby {smallest:#?}"),
        Err(abort) => panic!("seed {seed}: {abort}"),
    }
}

/// One command after the other, and now and then one of before again.
#[test]
fn any_sequence_of_commands_has_the_answers_and_the_state_of_the_model() {
    hold(proptest::collection::vec(plan::op(), 1..40), async |world: &mut World, ops: Vec<Op>| {
        for op in ops {
            world.perform(op).await?;
        }
        Ok(())
    });
}

/// Rounds of appends that are handed in together, and so share batches: as if they had come one after the other. They have streams of
/// their own, so that none is held back, and fight for claims, balances and leases.
#[test]
fn a_batch_has_the_answers_and_the_state_of_the_model_one_after_the_other() {
    let rounds = proptest::collection::vec(proptest::collection::vec(plan::plan(), 1..12), 1..6);
    hold(rounds, async |world: &mut World, rounds: Vec<Vec<Plan>>| {
        for round in rounds {
            world.perform_at_once(round).await?;
        }
        Ok(())
    });
}
