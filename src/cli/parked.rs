//! `waybill parked`: what the read model holds back, and how a person lets it go on.
//!
//! The command only asks: it writes the request down, and whoever runs the projections does it within seconds and says what came of it. A
//! request that nobody has done yet when the command ends stays on record and is done by the next one that runs them.
use super::{CANNOT_RUN, FAULTS, fail};
use crate::{config::Settings, wiring};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use domain::{OrderId, StreamKind};
use eventstore::sql;
use queries::projections::{Outcome, ParkedKey, ParkedKeys, Verb};
use sqlx::postgres::PgConnectOptions;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long it waits for what comes of a request.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// Characters of a reason.
const MAX_REASON: usize = 2_000;
/// All keys that are parked.
const ALL: &str = "all";

/// Lists, releases and skips what the read model can't take in: one order or shelf each, while all others go on
#[derive(Args, Clone, Debug)]
pub struct ParkedCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Every parked key, since when, and why; exit 1 when there is any
    List,
    /// Tries the event again, and goes on with all that was held back; for when a newer release knows it
    Release {
        /// An order's id (ord_…) or reference, a stream (stock-…), or all
        key: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Leaves out, for ever, exactly the event that parked the key, and goes on with the next one
    Skip {
        /// An order's id (ord_…) or reference, or a stream (stock-…)
        key: String,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Args, Clone, Debug)]
struct Asked {
    /// Why; it stays on record, with your name and the time
    #[arg(long)]
    reason: String,
    /// The shop, when several have an order of this reference
    #[arg(long)]
    shop: Option<String>,
}

pub async fn run(settings: &Settings, command: &ParkedCommand) -> ExitCode {
    let done = async {
        let keys = connect(settings).await?;
        carry_out(&keys, command, PATIENCE).await
    };
    match done.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn connect(settings: &Settings) -> Result<ParkedKeys> {
    let url = wiring::database_url(settings)?;
    let database: PgConnectOptions = url.parse().context("DATABASE_URL is no PostgreSQL URL")?;
    sql::migrate(&wiring::pool(&url).await?).await?;
    Ok(ParkedKeys::new(&database))
}

/// `false`: something is parked still.
async fn carry_out(keys: &ParkedKeys, command: &ParkedCommand, patience: Duration) -> Result<bool> {
    match &command.action {
        None | Some(Action::List) => list(keys).await,
        Some(Action::Release { key, asked }) if key == ALL => {
            let parked = keys.list().await?;
            ask(keys, &parked, Verb::Release, asked, patience).await
        }
        Some(Action::Release { key, asked }) => {
            let parked = find(keys, key, asked.shop.as_deref()).await?;
            ask(keys, &[parked], Verb::Release, asked, patience).await
        }
        Some(Action::Skip { key, asked }) => {
            let parked = find(keys, key, asked.shop.as_deref()).await?;
            ask(keys, &[parked], Verb::Skip, asked, patience).await
        }
    }
}

async fn list(keys: &ParkedKeys) -> Result<bool> {
    let parked = keys.list().await?;
    for each in &parked {
        say!("{}", line(each));
    }
    match parked.len() {
        0 => say!("nothing is parked"),
        1 => say!("1 key is parked"),
        count => say!("{count} keys are parked"),
    }
    Ok(parked.is_empty())
}

fn line(parked: &ParkedKey) -> String {
    let ParkedKey { event, since, tries } = parked;
    let tries = match tries {
        0 => String::new(),
        1 => ", tried once more".to_owned(),
        tries => format!(", tried {tries} times more"),
    };
    let since = since.format("%Y-%m-%d %H:%M:%S");
    format!(
        "{}  {} at position {}, since {since}{tries}: {}",
        name(parked),
        event.event_type,
        event.position,
        event.cause
    )
}

/// As it is given on the command line.
fn name(parked: &ParkedKey) -> String {
    let stream = &parked.event.stream;
    match StreamKind::from_name(&stream.kind) {
        Some(kind) if StreamKind::OF_ORDER.contains(&kind) => OrderId(stream.id).to_string(),
        _ => stream.to_string(),
    }
}

async fn find(keys: &ParkedKeys, key: &str, shop: Option<&str>) -> Result<ParkedKey> {
    let id = match id_of(key) {
        Some(id) => id,
        None => order_of_ref(keys, key, shop).await?,
    };
    keys.get(id).await?.with_context(|| format!("{key} is not parked"))
}

/// Of `ord_…`, or of a stream such as `stock-…`.
fn id_of(key: &str) -> Option<Uuid> {
    if let Ok(order) = key.parse::<OrderId>() {
        return Some(order.0);
    }
    let (_, hex) = key.rsplit_once('-')?;
    (hex.len() == 32).then(|| Uuid::try_parse(hex).ok()).flatten()
}

async fn order_of_ref(keys: &ParkedKeys, order_ref: &str, shop: Option<&str>) -> Result<Uuid> {
    let mut found = keys.orders_of_ref(order_ref).await?;
    found.retain(|(_, of)| shop.is_none_or(|shop| shop == of));
    match found.as_slice() {
        [] => bail!(
            "there is no order {order_ref} in the read model; one that is parked at its very first event is found by its id (ord_…) alone"
        ),
        [(id, _)] => Ok(*id),
        _ => bail!("several shops have an order {order_ref}: name one with --shop"),
    }
}

async fn ask(keys: &ParkedKeys, parked: &[ParkedKey], verb: Verb, asked: &Asked, patience: Duration) -> Result<bool> {
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        bail!("a reason has 1 to {MAX_REASON} characters");
    }
    let by = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let by = by.unwrap_or_else(|| "unknown".to_owned());
    let mut requests = Vec::with_capacity(parked.len());
    for each in parked {
        match keys.ask(&each.event, verb, reason, &by).await? {
            Some(request) => requests.push((each, request)),
            None => say!("{}: something has been asked of it already, and isn't done yet", name(each)),
        }
    }
    let mut all = requests.len() == parked.len();
    let deadline = Instant::now() + patience;
    for (each, request) in requests {
        let outcome = loop {
            match keys.outcome(request).await? {
                None if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                outcome => break outcome,
            }
        };
        all &= report(keys, each, verb, outcome).await?;
    }
    Ok(all)
}

/// `false`: it is parked still.
async fn report(keys: &ParkedKeys, asked: &ParkedKey, verb: Verb, outcome: Option<Outcome>) -> Result<bool> {
    let (name, position) = (name(asked), asked.event.position);
    match outcome {
        None => say!("{name}: nobody has done it yet; whoever runs the projections will: is `waybill up` running?"),
        Some(Outcome::Gone) => say!("{name}: it is not parked at position {position} any more; nothing was done"),
        Some(Outcome::Released) if verb == Verb::Skip => {
            say!("{name}: the event at position {position} is left out, and the rest is taken in")
        }
        Some(Outcome::Released) => say!("{name}: released, and all that was held back is taken in"),
        Some(Outcome::Parked) => match keys.get(asked.event.stream.id).await? {
            Some(now) if now.event.position == position => say!("{name}: parked still: {}", now.event.cause),
            Some(now) => say!("{name}: parked again, now at position {}: {}", now.event.position, now.event.cause),
            None => {
                say!("{name}: released meanwhile");
                return Ok(true);
            }
        },
    }
    Ok(outcome == Some(Outcome::Released))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use eventstore::{
        Actor, ActorKind, Append, EventStore, Expected, Log, Metadata, NewEvent, PgEventStore, Position, Source,
        StreamAppend, StreamId,
        testing::{TestDatabase, TestPostgres},
    };
    use queries::projections::{ChangedOrder, ProjectionObserver, Runner};
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    struct Nobody;
    impl ProjectionObserver for Nobody {
        fn committed(&self, _position: Position, _orders: &[ChangedOrder]) {}
    }

    async fn record(store: &PgEventStore, stream: &StreamId, event_type: &'static str) -> Position {
        let actor = Actor { kind: ActorKind::System, id: "test".into(), key: None, on_behalf_of: None };
        let metadata = Metadata {
            command_id: Uuid::now_v7(),
            causation_id: None,
            correlation_id: stream.id,
            actor,
            source: Source::Cli,
            reason_code: None,
            occurred_at: Utc::now(),
            trace_id: None,
            app_version: "test".into(),
        };
        let payload = serde_json::value::to_raw_value(&serde_json::json!({})).unwrap();
        let event = NewEvent { event_type: event_type.into(), schema_version: 1, payload: payload.into(), rank: 0 };
        let mut append = Append::new("dev", metadata);
        append.streams.push(StreamAppend { stream: stream.clone(), expected: Expected::Any, events: vec![event] });
        store.append(append).await.unwrap();
        store.head().await.unwrap().position
    }

    async fn store() -> (TestDatabase, Arc<PgEventStore>) {
        let database = TestPostgres::shared().await.database().await;
        let store = PgEventStore::connect(database.pool().await, Log::MAIN, sql::Options::default()).await.unwrap();
        (database, Arc::new(store))
    }

    fn command(arguments: &str) -> ParkedCommand {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            command: ParkedCommand,
        }
        let line: Line = clap::Parser::try_parse_from(format!("parked {arguments}").split_whitespace()).unwrap();
        line.command
    }

    #[test]
    fn a_key_is_an_order_or_a_stream_and_anything_else_a_reference() {
        let id = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(id_of(&OrderId(id).to_string()), Some(id));
        assert_eq!(id_of(&StreamId::new(id, "stock").to_string()), Some(id));
        for reference in ["r-1", "stock-1", "ord_1", "2026-11-24", ""] {
            assert_eq!(id_of(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_release_and_a_skip_take_a_reason() {
        for line in ["release all", "skip ord_1", "skip"] {
            let parsed = crate::cli::Cli::try_parse_from(format!("waybill parked {line}").split_whitespace());
            assert!(parsed.is_err(), "{line}");
        }
        use clap::Parser;
        assert!(crate::cli::Cli::try_parse_from(["waybill", "parked", "skip", "r-1", "--reason", "agreed"]).is_ok());
        assert!(crate::cli::Cli::try_parse_from(["waybill", "parked"]).is_ok());
    }

    #[tokio::test]
    async fn an_operator_sees_what_is_parked_and_skips_it_event_by_event() {
        let (database, store) = store().await;
        let shelf = StreamId::new(Uuid::now_v7(), "stock");
        record(&store, &shelf, "StockBlessed").await;
        let head = record(&store, &shelf, "StockCursed").await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let keys = ParkedKeys::new(&options);
        let short = Duration::from_millis(300);
        assert!(carry_out(&keys, &command("list"), short).await.unwrap(), "nothing is parked yet");

        let stop = CancellationToken::new();
        let (runner, mut handle) = Runner::new(store.clone(), &options, Arc::new(Nobody));
        let task = tokio::spawn(runner.run(stop.clone()));
        handle.applied.wait_for(|applied| *applied >= head).await.unwrap();
        assert!(!carry_out(&keys, &command("list"), short).await.unwrap());
        let listed = line(&keys.list().await.unwrap()[0]);
        assert!(listed.starts_with(&format!("{shelf}  StockBlessed at position 1, since ")), "{listed}");
        assert!(listed.contains("is not known here"), "{listed}");

        let skip = format!("skip {shelf} --reason agreed");
        assert!(!carry_out(&keys, &command("release all --reason newer"), PATIENCE).await.unwrap(), "it knows no more");
        assert!(!carry_out(&keys, &command(&skip), PATIENCE).await.unwrap(), "the next one parks it again");
        assert_eq!(keys.list().await.unwrap()[0].event.event_type, "StockCursed");
        assert!(carry_out(&keys, &command(&skip), PATIENCE).await.unwrap());
        assert_eq!(keys.list().await.unwrap(), []);
        let gone = carry_out(&keys, &command(&skip), short).await.unwrap_err().to_string();
        assert_eq!(gone, format!("{shelf} is not parked"));
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_nobody_does_in_time_is_done_by_the_next_runner() {
        let (database, store) = store().await;
        let shelf = StreamId::new(Uuid::now_v7(), "stock");
        let head = record(&store, &shelf, "StockBlessed").await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let keys = ParkedKeys::new(&options);
        let run = || {
            let stop = CancellationToken::new();
            let (runner, handle) = Runner::new(store.clone(), &options, Arc::new(Nobody));
            (stop.clone(), tokio::spawn(runner.run(stop)), handle)
        };
        let (stop, task, mut handle) = run();
        handle.applied.wait_for(|applied| *applied >= head).await.unwrap();
        stop.cancel();
        task.await.unwrap();
        let skip = command(&format!("skip {shelf} --reason agreed"));
        assert!(!carry_out(&keys, &skip, Duration::from_millis(300)).await.unwrap());
        assert!(!carry_out(&keys, &skip, Duration::from_millis(300)).await.unwrap(), "it has been asked");
        let (stop, task, _handle) = run();
        while !keys.list().await.unwrap().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        stop.cancel();
        task.await.unwrap();
    }
}
