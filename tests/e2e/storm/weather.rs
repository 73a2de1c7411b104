//! The faults: providers that are down, slow or silent, servers that are killed, processes of Waybill killed and frozen. Each kind comes once
//! before any comes again. Whatever is broken is mended before the next round.
use super::town::Town;
use crate::support::{app::TestApp, fleet::Fleet, random::Random};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Of one that was killed: its ledger is read again before it serves.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// In milliseconds, each from and to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Climate {
    pub(super) between: (usize, usize),
    pub(super) lasting: (usize, usize),
}

/// What befalls those whom Waybill relies on: who, what, and the name it is counted under.
const OUTSIDE: [(&str, &str, &str); 12] = [
    ("payment", "down", "payment down"),
    ("payment", "slow", "payment slow"),
    ("payment", "hang", "payment hangs"),
    ("payment", "hang_after_acting", "payment hangs after acting"),
    ("payment", "kill -9", "payment killed"),
    ("shipping", "down", "shipping down"),
    ("shipping", "slow", "shipping slow"),
    ("shipping", "hang", "shipping hangs"),
    ("shipping", "hang_after_acting", "shipping hangs after acting"),
    ("shipping", "kill -9", "shipping killed"),
    ("postgres", "kill -9", "PostgreSQL killed"),
    ("kafka", "kill -9", "Kafka killed"),
];

/// What befalls Waybill's own processes: sagas most of all.
const INSIDE: [(&str, &str, &str); 10] = [
    ("sagas", "kill -9", "sagas killed"),
    ("sagas", "freeze", "sagas frozen"),
    ("sagas", "kill -9", "sagas killed"),
    ("sagas", "freeze", "sagas frozen"),
    ("api", "kill -9", "api killed"),
    ("api", "freeze", "api frozen"),
    ("relay", "kill -9", "relay killed"),
    ("relay", "freeze", "relay frozen"),
    ("projections", "kill -9", "projections killed"),
    ("projections", "freeze", "projections frozen"),
];

type Card = (&'static str, &'static str, &'static str);

/// Cards are drawn until there are none, then shuffled again.
struct Deck {
    all: &'static [Card],
    left: Vec<Card>,
}

impl Deck {
    fn of(all: &'static [Card]) -> Deck {
        Deck { all, left: vec![] }
    }

    fn draw(&mut self, random: &mut Random) -> Card {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
            random.shuffle(&mut self.left);
        }
        self.left.pop().expect("a deck has cards")
    }
}

/// A process of Waybill, by its role.
pub(super) struct Member {
    pub(super) role: &'static str,
    pub(super) app: TestApp,
}

/// Storms for so long. Everybody is well afterwards.
pub(super) async fn storm(fleet: &Fleet, members: &mut [Member], town: &Town, length: Duration, climate: Climate) {
    let mut random = Random::new(town.seed);
    let (mut outside, mut inside) = (Deck::of(&OUTSIDE), Deck::of(&INSIDE));
    let began = Instant::now();
    while began.elapsed() < length {
        tokio::time::sleep(random.millis(climate.between.0, climate.between.1)).await;
        // A third of the time only one of the two.
        let which = random.below(6);
        let one = (which != 0).then(|| outside.draw(&mut random));
        let other = (which != 1).then(|| inside.draw(&mut random));
        let mut lasting = || random.millis(climate.lasting.0, climate.lasting.1);
        let (for_one, for_other) = (lasting(), lasting());
        let at = random.below(members.len());
        let since = Instant::now();
        let befall = async {
            if let Some(card) = one {
                begins(town, began, card, for_one);
                befall(fleet, town, card, for_one).await;
            }
        };
        let strike = async {
            if let Some(card) = other {
                begins(town, began, card, for_other);
                strike(fleet, members, at, card, for_other, town).await;
            }
        };
        tokio::join!(befall, strike);
        introduce(fleet, members, town);
        town.books(|books| books.rough.push((since, Instant::now())));
    }
}

fn begins(town: &Town, began: Instant, (_, what, name): Card, lasting: Duration) {
    let lasting = if what == "kill -9" { String::new() } else { format!(", {:.1} s", lasting.as_secs_f64()) };
    println!("{:6.1} s: {name}{lasting}", began.elapsed().as_secs_f64());
    town.books(|books| *books.faults.entry(name).or_default() += 1);
}

async fn befall(fleet: &Fleet, town: &Town, (who, what, _): Card, lasting: Duration) {
    if what == "kill -9" {
        fleet.kill_9(who).await;
        if matches!(who, "payment" | "shipping") {
            until_serves(fleet, who).await;
        }
        return;
    }
    let mode =
        if what == "slow" { json!({"mode": what, "ms": lasting.as_millis() / 4}) } else { json!({"mode": what}) };
    control(fleet, town, who, mode).await;
    tokio::time::sleep(lasting).await;
    control(fleet, town, who, json!({"mode": "ok"})).await;
}

async fn control(fleet: &Fleet, town: &Town, who: &str, mode: Value) {
    let told = http().post(format!("{}/control", fleet.provider(who))).json(&mode).send().await;
    if !told.as_ref().is_ok_and(|told| told.status().is_success()) {
        town.found(format!("{who} can't be switched to {mode}: {told:?}"));
    }
}

async fn until_serves(fleet: &Fleet, who: &str) {
    let (http, since) = (http(), Instant::now());
    let url = format!("{}/healthz", fleet.provider(who));
    while !http.get(&url).send().await.is_ok_and(|told| told.status().is_success()) {
        assert!(since.elapsed() < SERVES_WITHIN, "{who} does not serve again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

async fn strike(
    fleet: &Fleet,
    members: &mut [Member],
    at: usize,
    (role, what, _): Card,
    lasting: Duration,
    town: &Town,
) {
    let of_role: Vec<_> = (0..members.len()).filter(|n| members[*n].role == role).collect();
    let app = &mut members[of_role[at % of_role.len()]].app;
    if what == "freeze" {
        app.freeze();
        tokio::time::sleep(lasting).await;
        app.thaw();
        return;
    }
    app.kill_9().await;
    app.run().await;
    introduce(fleet, members, town);
}

/// Where the APIs listen, and who runs.
pub(super) fn introduce(fleet: &Fleet, members: &[Member], town: &Town) {
    town.line.at(members.iter().filter(|member| member.role == "api").map(|member| &member.app));
    let pids = members.iter().enumerate().map(|(n, member)| (format!("{} {n}", member.role), member.app.pid()));
    let shared = ["payment", "shipping"].into_iter().filter_map(|name| Some((name.to_owned(), fleet.pid(name)?)));
    let pids = pids.chain(shared).collect();
    town.books(|books| books.pids = pids);
}
