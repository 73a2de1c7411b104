//! `docs/kafka.md` for those outside: what stands there is what is run here, on a real Kafka with a real log in it.
//!
//! The log is one example of every event type there is, from `contracts/`, and more of some. The programs of the page lie in `docs/`.
use crate::support::{caught_up, config, server};
use eventstore::{
    Append, EventStore as _, Expected, MemoryEventStore, NewEvent, StreamAppend, StreamId, Version,
    contract::given::{append, payload},
};
use mirror::{KafkaConfig, Relay, RelayConfig};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PAGE: &str = include_str!("../../../docs/kafka.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of the page whose first line begins so, with the rest of that line.
fn blocks(language: &str) -> Vec<(&'static str, &'static str)> {
    let blocks = PAGE.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.filter_map(|(info, text)| Some((info.strip_prefix(language)?.strip_prefix(' ')?, text))).collect()
}

/// The examples of all contracts: kind, type, version, payload.
fn examples() -> Vec<(String, String, i16, Value)> {
    let mut examples = Vec::new();
    for kind in fs::read_dir(root().join("contracts/events")).unwrap() {
        for file in fs::read_dir(kind.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".schema.json").unwrap();
            let (event_type, version) = name.split_once(".v").unwrap();
            for example in schema["examples"].as_array().unwrap() {
                examples.push((kind.to_owned(), event_type.to_owned(), version.parse().unwrap(), example.clone()));
            }
        }
    }
    examples
}

/// A mirrored log, in topics of its own.
struct Mirrored {
    kafka: KafkaConfig,
    store: Arc<MemoryEventStore>,
    /// How many events of each `ce_type` each topic holds.
    counts: [BTreeMap<String, usize>; 2],
    stop: CancellationToken,
    relay: mirror::RelayHandle,
    written: i32,
    order: Uuid,
}

impl Mirrored {
    /// `None` where there is no Kafka, which it says.
    async fn start() -> Option<Mirrored> {
        let brokers = tokio::task::spawn_blocking(server::shared).await.unwrap()?;
        let (kafka, store, stop) = (config(brokers), Arc::new(MemoryEventStore::default()), CancellationToken::new());
        let relay = Relay::spawn(store.clone(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        let order = Uuid::new_v4();
        let mut mirrored = Mirrored { kafka, store, counts: Default::default(), stop, relay, written: 0, order };
        for _ in 0..20 {
            mirrored.write().await;
        }
        Some(mirrored)
    }

    /// One of each, to orders and shelves of their own but for the first time.
    async fn write(&mut self) {
        let id = if self.written == 0 { self.order } else { Uuid::new_v4() };
        self.written += 1;
        let mut versions: BTreeMap<String, i32> = BTreeMap::new();
        for (kind, event_type, version, example) in examples() {
            let topic = usize::from(kind == "stock" || kind == "location");
            *self.counts[topic].entry(format!("waybill.{kind}.{event_type}.v{version}")).or_default() += 1;
            let before = versions.entry(kind.clone()).or_default();
            let event = NewEvent {
                event_type: event_type.into(),
                schema_version: version,
                payload: payload(&example.to_string()),
                rank: 0,
            };
            let expected = Expected::Exact(Version(*before));
            *before += 1;
            let stream = StreamAppend { stream: StreamId { id, kind: kind.into() }, expected, events: vec![event] };
            self.store.append(Append { streams: vec![stream], ..append() }).await.unwrap();
        }
        caught_up(&self.relay, self.store.head().await.unwrap().position.0).await;
    }

    fn topic(&self, index: usize) -> String {
        format!("{}.{}.v1", self.kafka.topic_prefix, ["order", "stock"][index])
    }

    /// A command of the page, for our topics.
    fn shell(&self, text: &str) -> Output {
        let text = text.replace("waybill.order.v1", &self.topic(0)).replace("waybill.stock.v1", &self.topic(1));
        let mut shell = Command::new("sh");
        shell.args(["-c", &text]).env("BROKERS", &self.kafka.brokers);
        shell.env("ORDER", format!("ord_{}", self.order.simple())).output().unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.relay.join().await;
    }
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether this program is there; in CI it must be.
fn has(program: &str, arguments: &[&str]) -> bool {
    let there = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !there {
        println!("NOT TESTED: {program} {} is not on this machine", arguments.join(" "));
    }
    there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_s_kcat_commands_do_what_it_says() {
    if !has("kcat", &["-V"]) {
        assert!(std::env::var_os("CI").is_none(), "CI needs kcat, for the commands of docs/kafka.md");
        return;
    }
    let Some(mirrored) = Mirrored::start().await else { return };
    let commands: BTreeMap<_, _> = blocks("sh").into_iter().collect();
    assert_eq!(commands.keys().copied().collect::<Vec<_>>(), ["kcat chain", "kcat everything", "kcat one order"]);
    let all: usize = mirrored.counts[0].values().sum();

    let everything = lines(&mirrored.shell(commands["kcat everything"]));
    assert_eq!(everything.len(), 2 * all);
    assert!(everything[0].starts_with("ord_") || everything[0].starts_with("per_"), "{}", everything[0]);
    assert!(everything[0].contains("ce_type=waybill."), "{}", everything[0]);

    // One of each, and no other order's: a person's key is not an order's.
    let history = lines(&mirrored.shell(commands["kcat one order"]));
    let of_order =
        examples().iter().filter(|(kind, ..)| !["stock", "location", "person"].contains(&kind.as_str())).count();
    assert_eq!(history.len(), of_order, "{history:?}");
    assert!(history.iter().any(|line| line.ends_with("Z OrderPlaced, version 1")), "{history:?}");

    let chain = lines(&mirrored.shell(commands["kcat chain"]));
    assert_eq!(chain, [format!("{all} records")]);
    // The same, as it would be were a record not there.
    let holed = commands["kcat chain"].replacen("sed -E", "sed 30d | sed -E", 1);
    let broken = mirrored.shell(&holed);
    assert!(!broken.status.success());
    assert!(text(&broken.stdout).starts_with("broken: partition "), "{}", text(&broken.stdout));
    mirrored.end().await;
}

#[test]
fn the_page_shows_the_programs_that_are_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/docs");
    let shown: Vec<_> = blocks("rust").into_iter().chain(blocks("python")).collect();
    assert_eq!(shown.iter().map(|(file, _)| *file).collect::<Vec<_>>(), ["consumer.rs", "consumer.py"]);
    for (file, text) in shown {
        assert_eq!(text.trim(), fs::read_to_string(folder.join(file)).unwrap().trim(), "docs/kafka.md, {file}");
    }
    let all = PAGE.matches("\n```").count() / 2;
    assert_eq!(all, 6, "a block of the page that no test knows: name it and run it");
}

/// With a Python that has the two packages: `WAYBILL_TEST_PYTHON`, or `python3`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_s_python_program_reads_all_and_finds_it_valid() {
    let python = std::env::var("WAYBILL_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    if !has(&python, &["-c", "import confluent_kafka, jsonschema"]) {
        return;
    }
    let Some(mirrored) = Mirrored::start().await else { return };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/docs/consumer.py");
    for index in [0, 1] {
        let mut command = Command::new(&python);
        command.arg(&program).args([&mirrored.kafka.brokers, &mirrored.topic(index)]).arg(root().join("contracts"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let expected: Vec<_> = mirrored.counts[index].iter().map(|(name, count)| format!("{name} {count}")).collect();
        assert_eq!(lines(&output), expected);
    }
    mirrored.end().await;
}

/// The page's Rust program, in the tests' own words.
mod rust {
    use super::*;
    use rdkafka::message::OwnedMessage;
    use std::collections::HashSet;

    include!("docs/consumer.rs");

    /// Runs the page's program until it has acted `count` times, or found a hole.
    async fn run(
        mirrored: &Mirrored,
        group: &str,
        kept: &mut Kept,
        count: usize,
    ) -> Result<Vec<OwnedMessage>, Box<dyn Error>> {
        let topics = [mirrored.topic(0), mirrored.topic(1)];
        let consumer = consumer(&mirrored.kafka.brokers, group, &[&topics[0], &topics[1]])?;
        let (done, mut all) = tokio::sync::mpsc::unbounded_channel();
        let mut acted = Vec::new();
        let wait = async {
            while acted.len() < count {
                acted.push(all.recv().await.unwrap());
            }
        };
        let mut left = count;
        let program = follow(&consumer, kept, |record| {
            // What comes after is not acted upon: as if it had been killed there.
            if left > 0 {
                left -= 1;
                done.send(record.detach()).unwrap();
            }
        });
        tokio::select! {
            biased;
            () = wait => {}
            ended = program => ended?,
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{left} records are missing"),
        }
        Ok(acted)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_page_s_rust_program_acts_on_each_event_once_however_often_it_begins_again() {
        let Some(mirrored) = Mirrored::start().await else { return };
        let all: usize = mirrored.counts.iter().flat_map(BTreeMap::values).sum();
        let mut kept = Kept::default();
        let mut ids = HashSet::new();
        // Another group each time: it gets everything again.
        let mut records = Vec::new();
        for group in 0..4 {
            let count = if group < 3 { all / 4 } else { all - records.len() };
            let begun = kept.clone();
            records.extend(
                run(&mirrored, &format!("{}-{group}", mirrored.kafka.topic_prefix), &mut kept, count).await.unwrap(),
            );
            // `kept` as it was saved with the last that was acted upon.
            kept = begun;
            for record in &records {
                let place =
                    (number(record, "waybill-incarnation").unwrap(), number(record, "waybill-position").unwrap());
                kept.last.insert((record.topic().to_owned(), record.partition()), place);
            }
        }
        for record in &records {
            assert!(ids.insert(header(record, "ce_id").unwrap().to_owned()), "twice");
            let schema = fs::read_to_string(root().join("contracts").join(schema(record).unwrap())).unwrap();
            let schema = serde_json::from_str(&schema).unwrap();
            let event = serde_json::from_slice(record.payload().unwrap()).unwrap();
            jsonschema::validate(&schema, &event).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(ids.len(), all);
        mirrored.end().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_page_s_rust_program_begins_with_an_export_and_sees_a_hole() {
        let Some(mut mirrored) = Mirrored::start().await else { return };
        let head = mirrored.store.head().await.unwrap();
        mirrored.write().await;
        let new = examples().len();
        let begun = (head.incarnation.0, head.position.0);
        let mut kept = Kept { begun, ..Kept::default() };
        let group = |name: &str| format!("{}-{name}", mirrored.kafka.topic_prefix);
        let records = run(&mirrored, &group("export"), &mut kept, new).await.unwrap();
        let places: Vec<i64> = records.iter().map(|record| number(record, "waybill-position").unwrap()).collect();
        assert!(places.iter().all(|position| *position > begun.1), "{places:?}");

        // An export that is older than what a partition's records follow, as if its head had been trimmed.
        let mut stream = records.iter();
        let (first, second) =
            (stream.next().unwrap(), stream.find(|record| record.partition() == records[0].partition()));
        let mut kept = Kept::default();
        assert!(take(&mut kept, first).unwrap_err().to_string().contains("was read before it"));
        // One is not there.
        let mut kept = Kept { begun, ..Kept::default() };
        assert!(take(&mut kept, first).unwrap());
        assert!(!take(&mut kept, first).unwrap());
        let third =
            records.iter().rfind(|record| record.partition() == first.partition() && record.topic() == first.topic());
        assert!(take(&mut kept, third.unwrap()).unwrap_err().to_string().contains("was read before it"));
        assert!(take(&mut kept, second.unwrap()).unwrap());
        mirrored.end().await;
    }

    #[test]
    fn what_a_later_life_has_lost_is_gone() {
        assert!(!is_gone((1, 1200), "2@1200 3@1850"));
        assert!(is_gone((1, 1201), "2@1200 3@1850"));
        assert!(!is_gone((2, 1850), "2@1200 3@1850"));
        assert!(is_gone((2, 1851), "2@1200 3@1850"));
        assert!(is_gone((1, 1160), "2@1200 3@1150"));
        assert!(is_gone((2, 1160), "2@1200 3@1150"));
        assert!(!is_gone((3, 9999), "2@1200 3@1150"));
        assert!(!is_gone((1, 9999), ""));
    }
}
