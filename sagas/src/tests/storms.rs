//! Orders in storms: everything at once, by a seed that a failure prints. `WAYBILL_STORMS` sets how many.
use super::world::World;
use crate::participants::Mode;
use domain::location::LocationMode;
use std::time::Duration;
use tokio::time::sleep;

const STORMS: u64 = 500;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn whatever_happens_every_order_ends_or_is_seen_to_wait_and_nothing_is_lost_or_doubled() {
    let storms = std::env::var("WAYBILL_STORMS").ok().and_then(|n| n.parse().ok()).unwrap_or(STORMS);
    let from = std::env::var("WAYBILL_STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    for seed in from..from + storms {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(storm(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the storm of seed {seed}: WAYBILL_STORM={seed} WAYBILL_STORMS=1");
            std::panic::resume_unwind(panic);
        }
    }
}

async fn storm(seed: u64) {
    let world = World::new(seed);
    let faults = world.faults.clone();
    *faults.rate.lock().unwrap() = [0.0, 0.05, 0.2, 0.5][usize::try_from(faults.up_to(4)).unwrap()];
    world.stock("a", 10).await;
    world.stock("b", 6).await;
    if faults.chance(0.2) {
        *world.mode.lock().unwrap() = LocationMode::Manual;
    }
    let mut runners = vec![world.run()];
    let mut orders = vec![];
    for _ in 0..30 {
        match faults.up_to(10) {
            0..=3 => {
                let token = match faults.up_to(7) {
                    0 => "tok_decline",
                    1 => "tok_decline_on_capture",
                    2 => "tok_hang_after_acting",
                    3 => "tok_flaky_2",
                    4 => "tok_slow_1500",
                    _ => "tok_ok",
                };
                let lines = [("a", 1 + faults.up_to(2) as i64), ("b", 1)];
                let history = world.place(token, &lines[..1 + faults.up_to(2) as usize]).await;
                if faults.chance(0.5) {
                    runners.last().unwrap().placed(&history);
                }
                orders.push(history.order);
            }
            4 | 5 if !orders.is_empty() => {
                let order = orders[faults.up_to(orders.len() as u64) as usize];
                match faults.up_to(3) {
                    0 => world.ship(order).await,
                    1 => world.retry(order).await,
                    _ => world.cancel(order).await,
                };
            }
            6 => {
                let runner = world.run();
                if faults.chance(0.7) {
                    runners.pop().unwrap().handle.crash();
                }
                runners.push(runner);
            }
            7 if faults.chance(0.5) => runners.pop().unwrap().stop().await,
            8 => {
                let mode = match faults.up_to(4) {
                    0 => Mode::Down,
                    1 => Mode::HangAfterActing,
                    2 => Mode::Slow { ms: Some(200) },
                    _ => Mode::Ok,
                };
                if faults.chance(0.5) { world.payment.control(mode) } else { world.shipping.control(mode) }
            }
            _ => sleep(Duration::from_millis(faults.up_to(8_000))).await,
        }
        if runners.is_empty() {
            runners.push(world.run());
        }
    }
    // The weather clears.
    *faults.rate.lock().unwrap() = 0.0;
    world.payment.control(Mode::Ok);
    world.shipping.control(Mode::Ok);
    world.settle(30 * MINUTE).await;
    world.check().await;
    for runner in runners {
        runner.stop().await;
    }
}
