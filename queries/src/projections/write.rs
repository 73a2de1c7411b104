//! Writes the rows of a batch, into whatever tables the connection finds: the live ones, a replay's, or its own.
use super::{ProjectionError, batch::Rows};
use crate::sql;
use sqlx::PgConnection;

pub(super) async fn write_rows(conn: &mut PgConnection, rows: &Rows) -> Result<(), ProjectionError> {
    if !rows.placed.is_empty() {
        sql::orders::insert(conn, &rows.placed).await?;
        sql::orders::insert_skus(conn, &rows.placed).await?;
    }
    if !rows.orders.is_empty() {
        met("orders", rows.orders.len(), sql::orders::update(conn, &rows.orders).await?)?;
    }
    if !rows.new_sagas.is_empty() {
        sql::sagas::insert(conn, &rows.new_sagas).await?;
    }
    if !rows.sagas.is_empty() {
        met("sagas", rows.sagas.len(), sql::sagas::update(conn, &rows.sagas).await?)?;
    }
    if !rows.new_fulfillments.is_empty() {
        sql::fulfillments::insert(conn, &rows.new_fulfillments).await?;
    }
    if !rows.fulfillments.is_empty() {
        met("fulfillments", rows.fulfillments.len(), sql::fulfillments::update(conn, &rows.fulfillments).await?)?;
    }
    if !rows.new_returns.is_empty() {
        sql::returns::insert(conn, &rows.new_returns).await?;
    }
    if !rows.returns.is_empty() {
        met("returns", rows.returns.len(), sql::returns::update(conn, &rows.returns).await?)?;
    }
    if !rows.timeline.is_empty() {
        sql::timeline::insert(conn, &rows.timeline).await?;
    }
    if !rows.stock.shelves.is_empty() {
        sql::stock::apply(conn, &rows.stock).await?;
    }
    Ok(())
}

fn met(table: &'static str, rows: usize, found: sql::Met) -> Result<(), ProjectionError> {
    if found == rows as u64 { Ok(()) } else { Err(ProjectionError::MissingRows { table, rows, found }) }
}
