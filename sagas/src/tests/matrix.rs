//! Every call of the saga × what may become of it × what may come between, at each point of the run. Nothing here names a step: the nodes
//! are the table's steps in both directions, so far as they call anyone, and the points are those that a run has.
use super::faults::Fault;
use super::seeds;
use super::world::{Running, World};
use domain::OrderId;
use domain::fulfillment::{OrderStatus, Step};
use domain::location::LocationMode;
use domain::saga::{Direction, Next, WaitingOn};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
/// More points than any of these runs has.
const MOST_POINTS: usize = 64;

/// What becomes of a node's call: once, or so often that it is seen.
const FAULTS: [(Fault, usize); 8] = [
    (Fault::None, 1),
    (Fault::Refused, 1),
    (Fault::TurnedAway, 3),
    (Fault::Lost, 1),
    (Fault::Unheard, 1),
    (Fault::Twice, 1),
    // When compensation has long begun, if it does.
    (Fault::Late(Duration::from_secs(20)), 1),
    (Fault::InUse, 2),
];

/// What comes between, at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    /// The process dies, and another takes over.
    Crash,
    /// Another owner comes and wants its share at once.
    Second,
    /// The process freezes there for longer than its lease lasts; another takes over; it thaws, with its answer.
    Freeze,
    /// The shop cancels.
    Cancel,
}

/// An order's way: where it is packed, and whether it costs anything.
#[derive(Clone, Copy, Debug)]
struct Way {
    mode: LocationMode,
    price: i64,
}

const WAYS: [Way; 4] = [
    Way { mode: LocationMode::Auto, price: 1000 },
    Way { mode: LocationMode::Auto, price: 0 },
    Way { mode: LocationMode::Manual, price: 1000 },
    Way { mode: LocationMode::Manual, price: 0 },
];

/// One run.
#[derive(Clone, Copy, Debug)]
struct Case {
    way: Way,
    node: (Step, Direction),
    fault: (Fault, usize),
    /// The shop cancels at this point; without it nothing is undone unless a call is refused.
    cancel_at: Option<usize>,
    between: Between,
    at: usize,
}

/// What a run came to.
struct Ran {
    points: usize,
    /// The node's call was made.
    reached: bool,
}

fn at_node((step, direction): (Step, Direction)) -> String {
    format!("/{}/{}/", step.name(), direction.name())
}

async fn run(case: Case) -> Ran {
    let world = World::new(9_000);
    world.stock("a", 2).await;
    *world.mode.lock().unwrap() = case.way.mode;
    let (fault, times) = case.fault;
    world.faults.aim_at(at_node(case.node), fault, times);
    let order = world.place_at("tok_ok", &[("a", 1)], case.way.price).await.order;
    let cancelled = Arc::new(AtomicBool::new(false));
    let (points, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let first = world.run();
    let step_in = (world.clone(), first.ice.clone(), Arc::clone(&cancelled), Arc::clone(&stopped));
    let count = Arc::clone(&points);
    *world.faults.at_point.lock().unwrap() = Some(Box::new(move |point| {
        count.fetch_max(point + 1, Ordering::SeqCst);
        let (world, ice, cancelled, stopped) = step_in.clone();
        let between = if point == case.at { case.between } else { Between::Nothing };
        let cancels = case.cancel_at == Some(point) || between == Between::Cancel;
        (cancels || between != Between::Nothing).then(|| {
            async move {
                if cancels && world.cancel(order).await {
                    cancelled.store(true, Ordering::SeqCst);
                }
                match between {
                    Between::Nothing | Between::Cancel => {}
                    Between::Second => stopped.notify_one(),
                    Between::Freeze => {
                        ice.freeze();
                        stopped.notify_one();
                    }
                    Between::Crash => {
                        stopped.notify_one();
                        std::future::pending::<()>().await;
                    }
                }
            }
            .boxed()
        })
    }));
    let owners = to_rest(&world, order, first, case.between, &stopped).await;
    *world.faults.at_point.lock().unwrap() = None;
    for owner in owners {
        owner.stop().await;
    }
    world.check().await;
    let state = world.history(order).await.fulfillment;
    let types = world.types(order).await;
    assert!(state.has_ended(), "{case:?}: {types:?}");
    if cancelled.load(Ordering::SeqCst) {
        assert_eq!(state.status(), OrderStatus::Cancelled, "{case:?}: {types:?}");
    }
    let node = at_node(case.node);
    let reached = world.faults.sent.lock().unwrap().iter().any(|(key, _)| key.contains(&node));
    Ran { points: points.load(Ordering::SeqCst), reached }
}

/// Until it has ended: staff ship, an operator lets it try again.
async fn to_rest(world: &World, order: OrderId, first: Running, between: Between, stopped: &Notify) -> Vec<Running> {
    let mut owners = vec![first];
    for _ in 0..6 {
        let interrupted = tokio::select! {
            biased;
            () = stopped.notified() => true,
            _ = world.settle(10 * MINUTE) => false,
        };
        if interrupted {
            if between == Between::Crash {
                owners.pop().unwrap().handle.crash();
            }
            owners.push(world.run());
            if between == Between::Freeze {
                sleep(Duration::from_secs(15)).await;
                owners[0].ice.thaw();
            }
            continue;
        }
        match world.history(order).await.fulfillment.next(order) {
            Next::Wait(WaitingOn::Warehouse) => world.ship(order).await,
            Next::Wait(WaitingOn::Operator) => world.retry(order).await,
            _ => break,
        };
    }
    owners
}

fn nodes() -> impl Iterator<Item = (Step, Direction)> {
    Step::ALL.into_iter().flat_map(|step| [(step, Direction::Forward), (step, Direction::Compensate)])
}

/// The nodes that a way has: those that call somebody, going on or undone from any point.
async fn nodes_of(way: Way) -> Vec<(Step, Direction)> {
    let mut found = vec![];
    for node in nodes() {
        let quiet = Case { way, node, fault: (Fault::None, 0), cancel_at: None, between: Between::Nothing, at: 0 };
        let mut ran = run(quiet).await;
        let points = ran.points;
        for cancel_at in 0..points {
            if !ran.reached && node.1 == Direction::Compensate {
                ran = run(Case { cancel_at: Some(cancel_at), ..quiet }).await;
            }
        }
        if ran.reached {
            found.push(node);
        }
    }
    found
}

/// All cases of a node on a way, each when the one before it has shown how many points there are.
async fn all_of(way: Way, node: (Step, Direction), cancels: bool, fault: (Fault, usize), runs: &AtomicUsize) -> bool {
    let mut reached = false;
    for cancel_at in 0..MOST_POINTS {
        let quiet =
            Case { way, node, fault, cancel_at: cancels.then_some(cancel_at), between: Between::Nothing, at: 0 };
        let plain = run(quiet).await;
        runs.fetch_add(1, Ordering::Relaxed);
        reached |= plain.reached;
        // What comes between is of interest where the fault is met.
        if plain.reached {
            let from = if cancels { cancel_at + 1 } else { 0 };
            for at in from..plain.points {
                let kinds = [Between::Crash, Between::Second, Between::Freeze, Between::Cancel];
                for between in kinds.into_iter().filter(|between| !cancels || *between != Between::Cancel) {
                    run(Case { between, at, ..quiet }).await;
                    runs.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !cancels || cancel_at >= plain.points {
            return reached;
        }
    }
    panic!("{node:?} on {way:?} has more than {MOST_POINTS} points");
}

#[test]
fn whatever_becomes_of_any_call_and_whatever_comes_between_the_order_ends_complete_or_clean() {
    let series = Mutex::new(vec![]);
    seeds::all(WAYS.len() as u64, |n| {
        let way = WAYS[usize::try_from(n).unwrap()];
        seeds::on_a_clock_of_its_own(async {
            for node in nodes_of(way).await {
                // What is undone is undone after a cancel, at whatever point it comes.
                let cancels = node.1 == Direction::Compensate;
                series.lock().unwrap().extend(FAULTS.map(|fault| (way, node, cancels, fault)));
            }
        });
    });
    let series = series.into_inner().unwrap();
    let (reached, runs) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    seeds::all(series.len() as u64, |n| {
        let (way, node, cancels, fault) = series[usize::try_from(n).unwrap()];
        seeds::on_a_clock_of_its_own(async {
            if all_of(way, node, cancels, fault, &runs).await {
                reached.lock().unwrap().insert((node.0, node.1.name()));
            }
        });
    });
    let reached = reached.into_inner().unwrap();
    println!("{} runs; calls are made at {reached:?}", runs.load(Ordering::Relaxed));
    // Each step that a provider has a hand in, both ways where it can be undone.
    assert!(reached.len() >= 5, "{reached:?}");
}
