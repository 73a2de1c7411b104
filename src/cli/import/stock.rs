//! Goods in: rows of `location,sku,quantity`, sent as receipts of many rows, each with a ref made from the file's hash and its first row.
use super::{
    input::Input,
    report::{Rejected, Rejects, Report},
};
use crate::cli::client::{Client, Fault, Problem};
use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rows of one receipt; the API takes up to 500.
const ROWS: usize = 500;

struct Row {
    number: u64,
    text: String,
    location: String,
    line: Value,
}

impl Row {
    fn of(record: &csv::StringRecord) -> Row {
        let quantity = record.iter().skip(2).collect::<Vec<_>>().join(",");
        // What isn't one number is sent as it is: the server names the fault.
        let quantity = quantity.parse::<i64>().map_or_else(|_| json!(quantity), |quantity| json!(quantity));
        Row {
            number: record.position().map_or(0, csv::Position::line),
            text: record.iter().collect::<Vec<_>>().join(","),
            location: record.get(0).unwrap_or_default().to_owned(),
            line: json!({"sku": record.get(1).unwrap_or_default(), "quantity": quantity}),
        }
    }
}

/// Rows of one location, in the order of the file.
struct Batch {
    receipt_ref: String,
    location: String,
    rows: Vec<Row>,
}

struct Received {
    rows: u64,
    before: bool,
    rejected: Vec<(Row, u16, Problem)>,
}

pub(super) async fn receive(
    client: &Client,
    input: Input,
    concurrency: usize,
    shop: Option<&str>,
    bar: &ProgressBar,
    report: &mut Report,
    rejects: &mut Rejects,
) -> Result<()> {
    let batches = Batches::new(&input, bar)?;
    let sent =
        stream::iter(batches).map(|batch| async { send(client, shop, batch?).await }).buffer_unordered(concurrency);
    let mut sent = std::pin::pin!(sent);
    while let Some(received) = sent.try_next().await? {
        *if received.before { &mut report.accepted_before } else { &mut report.accepted } += received.rows;
        for (row, status, problem) in &received.rejected {
            report.reject(problem);
            rejects.write(&Rejected {
                line: row.number,
                status: *status,
                code: &problem.code,
                detail: &problem.detail,
                errors: &problem.errors,
                text: &row.text,
            })?;
        }
        bar.set_message(format!("{} rows", report.answered()));
    }
    Ok(())
}

/// The file as a table of the columns that it must have.
pub(super) fn table(input: &Input, bar: &ProgressBar) -> Result<csv::Reader<Box<dyn std::io::BufRead + Send>>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(input.reader(bar)?);
    let headers = reader.headers().context("the CSV has no header")?;
    if headers.iter().ne(["location", "sku", "quantity"]) {
        bail!("the CSV's header is {:?}; it must be location,sku,quantity", headers.iter().collect::<Vec<_>>());
    }
    Ok(reader)
}

/// Cuts the file into batches as it is read.
struct Batches {
    records: csv::StringRecordsIntoIter<Box<dyn std::io::BufRead + Send>>,
    digest: String,
    open: BTreeMap<String, Vec<Row>>,
    ended: bool,
}

impl Batches {
    fn new(input: &Input, bar: &ProgressBar) -> Result<Batches> {
        let records = table(input, bar)?.into_records();
        Ok(Batches { records, digest: input.digest()?, open: BTreeMap::new(), ended: false })
    }

    fn batch(&self, location: String, rows: Vec<Row>) -> Batch {
        let first = rows.first().map_or(0, |row| row.number);
        Batch { receipt_ref: format!("import-{}-{first}", self.digest), location, rows }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        while !self.ended {
            let record = match self.records.next() {
                Some(Ok(record)) => record,
                Some(Err(error)) => return Some(Err(error).context("the CSV can't be read")),
                None => {
                    self.ended = true;
                    break;
                }
            };
            let row = Row::of(&record);
            let location = row.location.clone();
            let rows = self.open.entry(location.clone()).or_default();
            rows.push(row);
            if rows.len() == ROWS {
                let rows = std::mem::take(rows);
                return Some(Ok(self.batch(location, rows)));
            }
        }
        loop {
            let (location, rows) = self.open.pop_first()?;
            if !rows.is_empty() {
                return Some(Ok(self.batch(location, rows)));
            }
        }
    }
}

/// Sends a receipt; rows that the server finds fault with are taken out and the rest is sent again under the same ref.
async fn send(client: &Client, shop: Option<&str>, batch: Batch) -> Result<Received> {
    let Batch { receipt_ref, location, mut rows } = batch;
    let shop = shop.map(|shop| ("shop", shop));
    let mut rejected = Vec::new();
    while !rows.is_empty() {
        let lines: Vec<_> = rows.iter().map(|row| &row.line).collect();
        let body = json!({"ref": receipt_ref, "location": location, "lines": lines});
        let response = client
            .send(|client| {
                client
                    .request(Method::POST, "/v1/stock/receipts")
                    .query(shop.as_slice())
                    .header("idempotency-key", &receipt_ref)
                    .header("waybill-source", "import")
                    .json(&body)
            })
            .await?;
        let status = response.status;
        if status.is_success() {
            let before = response.is_replay();
            return Ok(Received { rows: rows.len() as u64, before, rejected });
        }
        let problem = response.problem();
        // Taken in before, so long ago that the server has forgotten the key; it never forgets the ref.
        if problem.code == "receipt_ref_taken" && problem.same_body {
            return Ok(Received { rows: rows.len() as u64, before: true, rejected });
        }
        if status != StatusCode::UNPROCESSABLE_ENTITY || problem.errors.is_empty() {
            bail!("row {}: the server answers {status}: {} {}", rows[0].number, problem.code, problem.detail);
        }
        rows = take_out(rows, status.as_u16(), &problem, &mut rejected);
    }
    Ok(Received { rows: 0, before: false, rejected })
}

/// The rows without fault; a fault that names no row is every row's.
fn take_out(rows: Vec<Row>, status: u16, problem: &Problem, rejected: &mut Vec<(Row, u16, Problem)>) -> Vec<Row> {
    let row_of = |fault: &Fault| fault.path.strip_prefix("/lines/")?.split('/').next()?.parse::<usize>().ok();
    let of_all: Vec<_> = problem.errors.iter().filter(|fault| row_of(fault).is_none()).cloned().collect();
    let mut kept = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let mine = problem.errors.iter().filter(|fault| row_of(fault) == Some(index)).cloned();
        let errors: Vec<_> = of_all.iter().cloned().chain(mine).collect();
        if errors.is_empty() {
            kept.push(row);
        } else {
            rejected.push((row, status, Problem { errors, ..problem.clone() }));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_to_the_server_and_nothing_of_a_row_is_passed_over() {
        let quantity = |row: &[&str]| Row::of(&csv::StringRecord::from(row.to_vec())).line["quantity"].clone();
        assert_eq!(quantity(&["main", "a", "5"]), json!(5));
        assert_eq!(quantity(&["main", "a", "many"]), json!("many"));
        assert_eq!(quantity(&["main", "a"]), json!(""));
        assert_eq!(quantity(&["main", "a", "5", "6"]), json!("5,6"));
    }
}
