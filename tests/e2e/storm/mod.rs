//! A storm on the real stack: orders under load with every token there is, cancels, returns, operators and staff at random, while providers
//! fail in every way they can and processes are killed and frozen. Then it clears up. Every order must end, and the providers' own ledgers
//! must agree with what people were told; so must `waybill verify`.
//!
//! Nothing is judged while it storms but the answers: none may be a fault of ours. Whatever is found wrong is told with the seed.
mod desk;
mod judge;
mod line;
mod report;
mod shop;
mod town;
mod weather;

use crate::support::{client::unique, fleet::Fleet, random::seed, trade::until_dealt};
use judge::Sums;
use line::Line;
use std::time::{Duration, Instant};
use town::Town;
use weather::{Climate, Member};

/// The API comes first: it brings the schema.
const ROLES: [&str; 6] = ["api", "api", "relay", "projections", "sagas", "sagas"];
const PLENTY: i64 = 100_000_000;
/// Of the scarce goods, at first.
const FEW: i64 = 20;
/// A share of the slots is taken over, too.
const DEALT_WITHIN: Duration = Duration::from_secs(60);

struct Plan {
    length: Duration,
    orders_a_second: u32,
    climate: Climate,
    /// Once it has cleared up all ends within this time.
    settles_within: Duration,
    tell_every: Duration,
}

async fn storm(name: &str, plan: Plan) {
    let seed = seed();
    let Some(fleet) = Fleet::start(name).await else { return };
    let (mut members, town) = open_shop(&fleet, seed).await;
    let mut trade = tokio::spawn(shop::trade(town.clone(), plan.orders_a_second));
    let meddling = Duration::from_millis(5_000 / u64::from(plan.orders_a_second));
    let people = [
        tokio::spawn(desk::meddle(town.clone(), meddling)),
        tokio::spawn(desk::settle_incidents(town.clone())),
        tokio::spawn(desk::staff(town.clone())),
        tokio::spawn(desk::by_hand_or_not(town.clone())),
    ];
    let told = tokio::spawn(report::tell(town.clone(), plan.tell_every));
    let began = Instant::now();
    tokio::select! {
        () = weather::storm(&fleet, &mut members, &town, plan.length, plan.climate) => {}
        ended = &mut trade => panic!("nobody places orders any more: {ended:?}"),
    }
    let length = began.elapsed();

    town.clear_up();
    let cleared = Instant::now();
    println!("{:6.1} s: it clears up", length.as_secs_f64());
    let settled = tokio::time::timeout(plan.settles_within, &mut trade).await;
    let settling = cleared.elapsed();
    town.call_off();
    match settled {
        Ok(done) => done.unwrap(),
        // What has not ended is found by the judge.
        Err(_) => trade.await.unwrap(),
    }
    for one in people {
        one.await.unwrap();
    }
    let memory = told.await.unwrap();

    let sums = pass_judgement(&fleet, &members, &town).await;
    println!("\n{}", town.books(|books| report::table(books, &sums, &memory, length, (cleared, settling))));
    let (count, findings) = town.findings();
    assert!(count == 0, "seed {seed}: {count} wrong:\n{}", findings.join("\n"));
    for member in &mut members {
        member.app.stop().await;
    }
    fleet.stop().await;
}

/// All processes run, and there are goods.
async fn open_shop(fleet: &Fleet, seed: u64) -> (Vec<Member>, Town) {
    let mut members = Vec::new();
    for role in ROLES {
        members.push(Member { role, app: fleet.join(role).await });
    }
    let api = &members[0].app;
    until_dealt(api, fleet, 2, DEALT_WITHIN).await;
    let (sku, scarce) = (unique("sku"), unique("scarce"));
    api.client.receive(&sku, PLENTY).await;
    api.client.receive(&scarce, FEW).await;
    let town = Town::new(Line::new(), seed, sku, scarce);
    weather::introduce(fleet, &members, &town);
    (members, town)
}

/// By the ledgers, by `waybill verify`, and by the processes' own logs.
async fn pass_judgement(fleet: &Fleet, members: &[Member], town: &Town) -> Sums {
    // Each still runs.
    weather::introduce(fleet, members, town);
    for Member { role, app } in members {
        let log = std::fs::read_to_string(app.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked")).for_each(|line| town.found(format!("{role}: {line}")));
    }
    let accounts = judge::read_ledgers(&[fleet.provider("payment"), fleet.provider("shipping")]).await;
    let (faults, sums) = town.books(|books| judge::judge(books, accounts));
    faults.into_iter().for_each(|fault| town.found(fault));
    match fleet.verify(&members[0].app).await {
        Ok(said) => println!("{said}"),
        Err(said) => town.found(format!("verify: {said}")),
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_providers_and_processes_every_order_ends_and_the_ledgers_agree() {
    let plan = Plan {
        length: Duration::from_secs(60),
        orders_a_second: 10,
        climate: Climate { between: (1_000, 4_000), lasting: (1_000, 6_000) },
        settles_within: Duration::from_secs(180),
        tell_every: Duration::from_secs(15),
    };
    storm("storm", plan).await;
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text}; it must be a number")),
        Err(_) => otherwise,
    }
}

/// `scripts/soak-faults` runs this one, for longer.
#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_a_soak_of_faults_and_crashes_ends_with_every_order_complete_or_cleanly_cancelled() {
    let plan = Plan {
        length: Duration::from_secs(setting("WAYBILL_STORM_SECONDS", 300)),
        orders_a_second: u32::try_from(setting("WAYBILL_STORM_RATE", 20)).unwrap().max(1),
        climate: Climate { between: (10_000, 30_000), lasting: (2_000, 15_000) },
        settles_within: Duration::from_secs(600),
        tell_every: Duration::from_secs(60),
    };
    storm("soak-faults", plan).await;
}
