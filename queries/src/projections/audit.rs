//! A part of what `verify_projections` proves, for one page of the log: every row of each order that was touched in it is what its history
//! comes to. By the same fold and the same statements, into tables of the connection's own, in one snapshot of the live ones.
//!
//! Not looked at, and left to the full run: stock, whose rows are sums over the whole log, and an SKU in `order_skus` that should not be
//! there. Parked orders are counted and left out.
use super::{
    ProjectionError,
    batch::{Decoded, Rows, fold},
    connection::settings,
    history::History,
    parked::{Held, Parked},
    replay::{Difference, of_this_version, parked_difference},
    write::write_rows,
};
use crate::sql::{audit as tables, checkpoint::live_position, parked};
use domain::StreamKind;
use eventstore::{EventStore, Position, RecordedEvent};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use uuid::Uuid;

/// How many events one comparison covers at most. Few, so that orders don't wait long for a processor that it has.
pub(super) const PAGE_EVENTS: usize = 100;
/// How many differing rows of a table are shown; more are not looked for.
const SHOWN_DIFFERENCES: i64 = 20;

/// What a comparison of some orders found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeComparison {
    /// How far it looked: `upto`, or less when that was further than a page, the log's head or the live rows. The next one goes on after it.
    pub upto: Position,
    /// The position that the live rows reflected when they were compared.
    pub position: Position,
    /// How many orders were compared.
    pub orders: u64,
    /// How many were left out, since they are parked.
    pub parked: u64,
    /// How many rows the orders' histories come to.
    pub rows: u64,
    pub differences: Vec<Difference>,
}

/// Compares the rows of every order that was touched after `after`, up to `upto` and no further than a page of 100 events, with what its
/// history comes to as of the live position. For more than one page see [`OrderAudit`].
pub async fn verify_orders(
    store: Arc<dyn EventStore>,
    database: &PgConnectOptions,
    after: Position,
    upto: Position,
) -> Result<RangeComparison, ProjectionError> {
    let mut audit = OrderAudit::open(store, database).await?;
    let compared = audit.compare(after, upto).await?;
    audit.close().await?;
    Ok(compared)
}

/// A connection with tables of its own for one comparison after the other.
#[derive(Debug)]
pub struct OrderAudit {
    store: Arc<dyn EventStore>,
    conn: PgConnection,
}

impl OrderAudit {
    pub async fn open(store: Arc<dyn EventStore>, database: &PgConnectOptions) -> Result<OrderAudit, ProjectionError> {
        let mut conn = PgConnection::connect_with(&settings(database, tables::SCHEMA)).await?;
        tables::create(&mut conn).await?;
        Ok(OrderAudit { store, conn })
    }

    pub async fn close(self) -> Result<(), ProjectionError> {
        Ok(self.conn.close().await?)
    }

    /// As [`verify_orders`].
    pub async fn compare(&mut self, after: Position, upto: Position) -> Result<RangeComparison, ProjectionError> {
        let wanted = usize::try_from(upto.0.saturating_sub(after.0)).unwrap_or(0).min(PAGE_EVENTS);
        let page = if wanted == 0 { Vec::new() } else { self.store.read_log(after, wanted).await? };
        let mut snapshot = tables::snapshot(&mut self.conn).await?;
        of_this_version(&mut snapshot).await?;
        let position = live_position(&mut snapshot).await?;
        let held = parked::load(&mut snapshot).await?;
        let upto = page.last().map_or(after, |event| event.position).min(position.max(after));
        let touched: BTreeSet<Uuid> = page
            .iter()
            .filter(|event| event.position <= upto && is_of_order(event))
            .map(|event| event.stream.id)
            .collect();
        let (parked, orders): (Vec<Uuid>, Vec<Uuid>) =
            touched.into_iter().partition(|order| held.parked.contains_key(order));
        let folded = fold_orders(self.store.as_ref(), &held, &orders, position).await?;
        write_rows(&mut snapshot, None, &folded.rows).await?;
        let mut differences: Vec<Difference> = folded.unreadable.iter().map(parked_difference).collect();
        let mut rows = 0;
        for table in tables::TABLES {
            rows += tables::count(&mut snapshot, table).await?;
            for (missing, row) in tables::differences(&mut snapshot, table, &folded.compared, SHOWN_DIFFERENCES).await?
            {
                differences.push(Difference { table: table.name, missing, row });
            }
        }
        // That empties its tables; a rollback leaves what was in them behind as dead rows, which nobody takes away from temporary ones.
        snapshot.commit().await?;
        let (orders, parked) = (folded.compared.len() as u64, parked.len() as u64);
        Ok(RangeComparison { upto, position, orders, parked, rows, differences })
    }
}

fn is_of_order(event: &RecordedEvent) -> bool {
    StreamKind::from_name(&event.stream.kind).is_some_and(|kind| StreamKind::OF_ORDER.contains(&kind))
}

/// Orders as the log has them.
struct Folded {
    rows: Rows,
    compared: Vec<Uuid>,
    /// Orders that this program can't read and that are not parked.
    unreadable: Vec<Parked>,
}

async fn fold_orders(
    store: &dyn EventStore,
    held: &Held,
    orders: &[Uuid],
    upto: Position,
) -> Result<Folded, ProjectionError> {
    let mut folded = Folded { rows: Rows::default(), compared: Vec::new(), unreadable: Vec::new() };
    let (mut events, mut histories) = (Vec::new(), HashMap::new());
    for (order, history) in orders.iter().zip(store.read_streams_of(orders).await?) {
        match decode(history, held, upto) {
            Ok(decoded) => {
                folded.compared.push(*order);
                histories.insert(*order, History::new(*order));
                events.extend(decoded);
            }
            Err(parked) => folded.unreadable.push(parked),
        }
    }
    (folded.rows, _) = fold(&events, &mut histories)?;
    // Sums over the whole log: not to be had from some orders.
    folded.rows.stock = Default::default();
    Ok(folded)
}

/// Those up to a position; where one can't be read, the order ought to be parked at it.
fn decode(history: Vec<RecordedEvent>, held: &Held, upto: Position) -> Result<Vec<Decoded>, Parked> {
    let shown = history.into_iter().filter(|event| event.position <= upto && !held.leaves_out(event));
    let read = shown.map(|event| Decoded::read(event).map_err(|(event, cause)| Parked::at(&event, cause.to_string())));
    read.collect()
}
