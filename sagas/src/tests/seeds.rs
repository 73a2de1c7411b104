//! Many runs of one test, each from a seed of its own on a clock of its own, on all cores. A failure prints its seed.
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a long series says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// `WAYBILL_TEST_SEED` alone; else `WAYBILL_SEEDS` of them, or `count`, from `WAYBILL_FIRST_SEED`, or 0.
pub(super) fn each<F: Future<Output = ()>>(count: u64, run: impl Fn(u64) -> F + Sync) {
    let (first, count) = match number("WAYBILL_TEST_SEED") {
        Some(seed) => (seed, 1),
        None => (number("WAYBILL_FIRST_SEED").unwrap_or(0), number("WAYBILL_SEEDS").unwrap_or(count)),
    };
    all(count, |n| {
        let seed = first + n;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_a_clock_of_its_own(run(seed)))) {
            eprintln!("failed at seed {seed}; again with WAYBILL_TEST_SEED={seed}");
            resume_unwind(panic);
        }
    });
}

/// Runs `0..count` on all cores; the first panic ends them all and is passed on.
pub(super) fn all(count: u64, run: impl Fn(u64) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, failed, began) = (AtomicU64::new(0), Mutex::new(None), Instant::now());
    let said = Mutex::new(began);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(n))) {
                        next.store(count, Ordering::Relaxed);
                        failed.lock().unwrap().get_or_insert(panic);
                        return;
                    }
                    let mut said = said.lock().unwrap();
                    if said.elapsed() > PROGRESS {
                        *said = Instant::now();
                        println!("{n} of {count}, {:.0} a second", n as f64 / began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    if let Some(panic) = failed.into_inner().unwrap() {
        resume_unwind(panic);
    }
    println!(
        "{count} in {:.1} s, {:.0} a second",
        began.elapsed().as_secs_f64(),
        count as f64 / began.elapsed().as_secs_f64()
    );
}

/// Time jumps to whatever is waited for next.
pub(super) fn on_a_clock_of_its_own<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run)
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
